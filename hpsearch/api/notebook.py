"""Cards of studies, trials and verdicts for notebooks: HTML without scripts, and pictures as SVG.

The functions take records and return the HTML of `_repr_html_`. All texts are escaped by the templates.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final, TypeAlias, final

from hpsearch.analysis.advice import advice
from hpsearch.analysis.axes import SECOND_STRIDE, Axis, axis_of, coordinate, ticks_between
from hpsearch.analysis.best_trials import best_table, leading_trials, value_words
from hpsearch.analysis.explanations import EXPLANATIONS
from hpsearch.analysis.formats import format_share, format_short_metric
from hpsearch.analysis.snapshot import Snapshot
from hpsearch.analysis.study_state import fate_rows, state_sentence
from hpsearch.analysis.trial_facts import (
    cause_words,
    evidence_facts,
    parameter_facts,
    suggested_facts,
)
from hpsearch.api.pace import count_words
from hpsearch.report.palette import DARK, STAR
from hpsearch.report.parts import piece
from hpsearch.storage.records import Progress, StoredStudy
from hpsearch.study.messages import format_count
from hpsearch.trials import Fate, Trial
from hpsearch.verdicts import Finding

_WIDTH_PX: Final = 280
_HEIGHT_PX: Final = 170
_BEST: Final = 5
"""Rows of the table of best configurations."""

_MOST_MARKS: Final = 400
"""Trials in a search map: a mark takes about 200 bytes, and a card is saved with the notebook."""

_MOST_POINTS: Final = 400
"""Points of a curve."""

_MOST_TICKS: Final = 5
_LOG_FROM_RATIO: Final = 20.0
"""Curves are on a logarithmic scale if the largest value is this many times the smallest."""

_Place: TypeAlias = tuple[float, float]
_Labels: TypeAlias = tuple[tuple[float, str], ...]

_LINES: Final[Mapping[str, tuple[str, Fate]]] = {
    "training_loss": ("training loss", Fate.COMPLETE),
    "validation_loss": ("validation loss", Fate.DIVERGED),
    "loss": ("loss of the minibatch", Fate.COMPLETE),
}
"""The curves that a card draws, with their names, in the colours of two fates."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class CardMark:
    """One trial in the map of a card, in pixels."""

    x: float
    y: float
    fate: Fate
    words: str


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class CardMap:
    """The trials over the first two searched dimensions. Ticks are places in pixels with their labels."""

    x: str
    y: str
    across: _Labels
    along: _Labels
    marks: Sequence[CardMark]
    best: CardMark | None
    left_out: str
    width: int = _WIDTH_PX
    height: int = _HEIGHT_PX


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class CardLine:
    """One curve, in pixels; it is interrupted at values that are not finite. `fate` is its colour."""

    name: str
    fate: Fate
    parts: Sequence[Sequence[_Place]]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class CardCurves:
    """The curves of a trial."""

    x: str
    across: _Labels
    along: _Labels
    lines: Sequence[CardLine]
    width: int = _WIDTH_PX
    height: int = _HEIGHT_PX


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class CardVerdict:
    """A finding in words, and what its verdict means in general."""

    words: str
    meaning: str
    confidence: str
    remedy: str
    suggested: Sequence[tuple[str, str]]
    evidence: Sequence[tuple[str, str]]


def study_card(snapshot: Snapshot, *, warnings: Sequence[str] = ()) -> str:
    """Return a study as HTML: its state, the fates of its trials, the best configurations, a search map and advice.

    The series of the snapshot's trials are not needed. `warnings` are sentences, shown first.
    """
    study, progress = snapshot.study, snapshot.progress
    table = best_table(snapshot)
    has_seeds = any(row.seeds for row in table.rows)
    heads = [
        "trial",
        format_short_metric(table.metric),
        *(["fresh seeds"] if has_seeds else []),
        *table.names,
    ]
    best = [
        [row.number, row.value, *([row.seeds] if has_seeds else []), *row.params]
        for row in table.rows[:_BEST]
    ]
    return _card(
        "study",
        name=study.name,
        state=state_sentence(progress),
        rows=fate_rows(progress),
        total=max(progress.budget, progress.finished, 1),
        heads=[*heads, "verdict"],
        best=[[*cells, row.verdict] for cells, row in zip(best, table.rows, strict=False)],
        map=_search_map(snapshot),
        warnings=warnings,
        advice=_advice(snapshot),
    )


def trial_card(study: StoredStudy, trial: Trial, series: Mapping[str, Sequence[float]]) -> str:
    """Return a trial as HTML: its fate and value, parameters, verdict with evidence and remedy, and its curve."""
    ending = [trial.fate.value]
    if trial.value is not None or trial.values:
        ending.append(value_words(trial, study))
    if study.foreign is None:
        ending.append(format_count(trial.epochs, "epoch"))
    drawn = _curves(series, "epoch", range(1, 1 + max(map(len, series.values()), default=0)))
    is_short = drawn is None and study.foreign is None and trial.epochs > 0
    return _card(
        "trial",
        heading=f"Trial {trial.number} of {study.name}",
        fate=trial.fate,
        words=", ".join(ending),
        pairs=list(parameter_facts(trial)),
        verdict=None if trial.finding is None else _verdict(trial.finding),
        drawn=drawn,
        hint="It is too short for a curve by epoch: `trial.replay().figure()` draws every step."
        if is_short
        else "",
    )


def verdict_card(
    finding: Finding,
    *,
    heading: str = "Verdict",
    words: str = "",
    curves: Mapping[str, Sequence[float]] | None = None,
) -> str:
    """Return a verdict as HTML: its cause, remedy and evidence, and the curve by step of a training that has one."""
    drawn = curves or {}
    return _card(
        "trial",
        heading=heading,
        fate=None,
        words=words,
        pairs=(),
        verdict=_verdict(finding),
        drawn=_curves(drawn, "step", drawn.get("step", ())),
        hint="",
    )


def _sentence(clause: str) -> str:
    return f"{clause[:1].upper()}{clause[1:]}."


def progress_card(
    name: str, *, lines: Sequence[str], progress: Progress | None = None, notes: Sequence[str] = ()
) -> str:
    """Return a run as HTML: a bar with the fates of its trials, `lines` and `notes`; None if nothing is known yet."""
    return _card(
        "progress",
        name=name,
        count="" if progress is None else count_words(progress),
        rows=() if progress is None else fate_rows(progress),
        total=0 if progress is None else max(progress.budget, progress.finished),
        lines=lines,
        notes=notes,
    )


def _card(macro: str, **values: object) -> str:
    return str(piece("notebook.html", macro, dark=DARK, star=STAR, **values))


def _verdict(finding: Finding) -> CardVerdict:
    return CardVerdict(
        words=cause_words(finding),
        meaning=_sentence(EXPLANATIONS[finding.cause].meaning),
        confidence=format_share(finding.confidence, 1),
        remedy=finding.remedy,
        suggested=suggested_facts(finding),
        evidence=evidence_facts(finding),
    )


def _advice(snapshot: Snapshot) -> str:
    study = snapshot.study
    words = None
    if study.foreign is None:
        is_confirmed = bool(snapshot.evaluations)
        words = advice(
            study.present_spec, snapshot.trials, maximize=study.maximize, is_confirmed=is_confirmed
        )
    return "" if words is None else f"Advice: {words}."


def _search_map(snapshot: Snapshot) -> CardMap | None:
    """Return the map of the first two searched dimensions; None if a study or all its trials have fewer."""
    search = snapshot.study.spec.search
    if len(search) < 2:
        return None
    x, y = axis_of(search[0]), axis_of(search[1], stride=SECOND_STRIDE)
    across, along = _scale(x, 0, _WIDTH_PX), _scale(y, _HEIGHT_PX, 0)
    placed = [
        CardMark(x=across(at_x), y=along(at_y), fate=trial.fate, words=_mark_words(trial, snapshot.study))
        for trial in _spread(snapshot.trials, _MOST_MARKS)
        if (at_x := coordinate(trial, x)) is not None and (at_y := coordinate(trial, y)) is not None
    ]
    best = next(iter(leading_trials(snapshot.trials, snapshot.study, snapshot.evaluations, count=1)), None)
    star = None if best is None else (coordinate(best, x), coordinate(best, y))
    if not placed:
        return None
    left_out = len(snapshot.trials) - _MOST_MARKS
    return CardMap(
        x=x.title,
        y=y.title,
        across=_labels(((tick.at, tick.text) for tick in x.ticks), across),
        along=_labels(((tick.at, tick.text) for tick in y.ticks), along),
        marks=placed,
        best=None
        if best is None or star is None or star[0] is None or star[1] is None
        else CardMark(
            x=across(star[0]), y=along(star[1]), fate=best.fate, words=_mark_words(best, snapshot.study)
        ),
        left_out=f"{_MOST_MARKS:,} of {len(snapshot.trials):,} trials are drawn" if left_out > 0 else "",
    )


def _mark_words(trial: Trial, study: StoredStudy) -> str:
    value = "" if trial.value is None else f", {value_words(trial, study)}"
    return f"trial {trial.number}: {trial.fate.value}{value}"


def _spread(trials: Sequence[Trial], most: int) -> Sequence[Trial]:
    """Return at most `most` of the trials, evenly spaced."""
    return trials if len(trials) <= most else [trials[i * len(trials) // most] for i in range(most)]


def _scale(axis: Axis, start_px: float, end_px: float) -> Callable[[float], float]:
    return _projection(axis.low, axis.high, start_px, end_px, log=axis.kind == "log")


def _projection(
    low: float, high: float, start_px: float, end_px: float, *, log: bool
) -> Callable[[float], float]:
    """Return the function from values to pixels."""
    place: Callable[[float], float] = math.log10 if log else float
    first, last = place(low), place(high)
    span = (last - first) or 1.0
    return lambda value: round(start_px + (end_px - start_px) * (place(value) - first) / span, 1)


def _labels(ticks: Iterable[tuple[float, str]], place: Callable[[float], float]) -> _Labels:
    """Return at most 5 of the ticks in pixels; long choices are cut."""
    found = list(ticks)
    stride = -(-len(found) // _MOST_TICKS) or 1
    return tuple((place(at), words if len(words) <= 9 else f"{words[:8]}…") for at, words in found[::stride])


def _curves(series: Mapping[str, Sequence[float]], title: str, x: Sequence[float]) -> CardCurves | None:
    """Return the losses by epoch or step; None if there are fewer than two, or no finite number."""
    drawn = {name: series[name] for name in _LINES if series.get(name)}
    finite = [value for values in drawn.values() for value in values if math.isfinite(value)]
    if not finite or len(x) < 2:
        return None
    low, high = min(finite), max(finite)
    is_log = low > 0 and high >= _LOG_FROM_RATIO * low
    if low == high:
        low, high = low - 0.5, high + 0.5
    across = _projection(x[0], x[-1], 0, _WIDTH_PX, log=False)
    along = _projection(low, high, _HEIGHT_PX, 0, log=is_log)
    return CardCurves(
        x=title,
        across=tuple((across(at), f"{at:,.0f}") for at in (x[0], x[-1])),
        along=_labels(((t.at, t.text) for t in ticks_between(low, high, log=is_log)), along),
        lines=[
            CardLine(name=_LINES[name][0], fate=_LINES[name][1], parts=list(_parts(x, values, across, along)))
            for name, values in drawn.items()
        ],
    )


def _parts(
    x: Sequence[float],
    values: Sequence[float],
    across: Callable[[float], float],
    along: Callable[[float], float],
) -> Iterator[list[_Place]]:
    """Yield runs of finite values in pixels, thinned evenly to some hundred points."""
    stride = -(-len(values) // _MOST_POINTS)
    points = list(zip(x, values, strict=False))[::stride]
    for is_finite, run in groupby(points, key=lambda point: math.isfinite(point[1])):
        if is_finite:
            yield [(across(at), along(value)) for at, value in run]
