"""The importance of each searched parameter: for the survivors, and for all trials.

The importance of a parameter is the share of the variance of the trials' ranks that it explains alone: the correlation
ratio eta squared of ranks over groups of its values (the first-order effect of a functional analysis of variance), with
Kelley's correction for chance (Kelley 1935, "An unbiased correlation ratio measure"). Ranks include deaths, whose
values are meaningless, as the worst results. Of Optuna's evaluators, PED-ANOVA also assigns a share to parameters
without effect, and takes tens of milliseconds for 1,000 trials, too long for hundreds of resamples; fANOVA takes
longer.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

from hpsearch.analysis.snapshot import Snapshot
from hpsearch.search.ranking import is_dead, last_value
from hpsearch.study.messages import format_count
from hpsearch.study.spec import Choices, Dimension
from hpsearch.trials import Trial, TrialState

Floats: TypeAlias = NDArray[np.float64]

FEWEST: Final = 20
"""With fewer trials, an importance is mostly chance."""

MOST: Final = 5000
"""Maximum number of trials evaluated; if there are more, they are spread evenly over the numbers."""

RESAMPLES: Final = 400
CONFIDENCE: Final = 0.9

PER_GROUP: Final = 10
MOST_GROUPS: Final = 12
"""A range is split into at most 12 groups of equally many trials, about 10 in each."""

_METHOD: Final = (
    "How much of the variance of the trials' ranks each parameter explains alone (correlation ratio, corrected for"
    f" chance), with {100 * CONFIDENCE:.0f} % intervals of {RESAMPLES} bootstrap resamples. Among all trials, deaths"
    " rank below every survivor, so the two panels may differ; outranked trials count with their last result."
    " The rest, up to 1, is interaction and noise. The filter of fates does not apply here."
)

_PARTLY: Final = (
    "A parameter that not all trials have is judged among those that have it, and left out if they are fewer than"
    f" {FEWEST}."
)

IMPORTANCE_STREAM: Final = int.from_bytes(b"impt")
"""Second word of the seed of the resamples; the first is the study's seed. No other stream uses it."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Importance:
    """One parameter: the share (0..1) of the ranks' variance that it explains alone, and its 90 % interval."""

    name: str
    share: float
    low: float
    high: float


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ImportancePanel:
    """The parameters of one group of trials, in the common order of both panels. `trials` were evaluated."""

    title: str
    trials: int
    rows: tuple[Importance, ...]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ImportanceFigure:
    """The panels of the survivors and of all trials; a panel with too few or only equal trials is missing."""

    panels: tuple[ImportancePanel, ...]
    caption: str


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class _Group:
    """Trials with their ranks (n,), the worst first; `why_not` is the reason if they are uninformative, else empty."""

    title: str
    trials: Sequence[Trial]
    ranks: Floats
    why_not: str


def importance(snapshot: Snapshot) -> ImportanceFigure:
    """Return the importance of each searched parameter over the ended trials with a result; no panels if unknown.

    It depends on the snapshot alone: the resamples of the bootstrap are seeded with the study's seed.
    """
    search = snapshot.study.spec.search
    if len(search) < 2:
        return ImportanceFigure(panels=(), caption=_alone_words(search))
    ended = _spread([trial for trial in snapshot.trials if _is_known(trial, search)])
    groups = (
        _group("survivors", [trial for trial in ended if not is_dead(trial)], snapshot),
        _group("all trials", ended, snapshot),
    )
    informative = [group for group in groups if not group.why_not]
    panels = _ordered([_panel(group, search, seed=snapshot.study.spec.seed) for group in informative])
    return ImportanceFigure(panels=panels, caption=_caption(groups, snapshot, evaluated=len(ended)))


def explained(ranks: Floats, groups: NDArray[np.intp], weights: Floats) -> Floats:
    """Return the corrected share (R,) of the variance of `ranks` (n,) between `groups` (n,), for each row of `weights`.

    `weights` (R, n) count each trial's occurrences in each resample. With k groups and n trials the share is 1 -
    (within / (n - k)) / (total / (n - 1)), clipped at 0. Unclipped, it is 0 on average if groups explain nothing.
    """
    counts = weights @ _members(groups)
    sums = weights @ (_members(groups) * ranks[:, None])
    squares, trials = weights @ ranks**2, weights.sum(axis=1)
    total = squares - sums.sum(axis=1) ** 2 / trials
    within = squares - (sums**2 / np.maximum(counts, 1)).sum(axis=1)
    left = np.maximum(trials - (counts > 0).sum(axis=1), 1)
    flat = total <= 1e-9 * np.maximum(squares, 1)
    share = 1 - (within / left) / (np.where(flat, 1, total) / (trials - 1))
    return np.where(flat, 0.0, np.clip(share, 0, 1))


def counts_below_and_equal(values: Floats) -> tuple[Floats, Floats]:
    """Return for each of `values` (n,), without NaN, how many are below it, and how many equal it, itself included."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    below = np.cumsum(counts) - counts
    return below[places].astype(np.float64), counts[places].astype(np.float64)


def mean_ranks(values: Floats) -> Floats:
    """Return the ranks (n,) of `values` (n,), from 1 for the lowest; equal values share the mean of theirs.

    Kendall 1945, "The treatment of ties in ranking problems". `scipy.stats.rankdata` gives the same, but its import
    takes as long as the rest of a report.
    """
    below, equal = counts_below_and_equal(values)
    return below + (equal + 1) / 2


def _is_known(trial: Trial, search: Sequence[Dimension]) -> bool:
    """Return True for a trial that ended with a result, or died, with parameters that are all of their ranges' type."""
    if trial.state not in (TrialState.COMPLETE, TrialState.PRUNED):
        return False
    mine = [dimension for dimension in search if dimension.name in trial.params]
    are_known = bool(mine) and all(_holds(dimension, trial) for dimension in mine)
    return are_known and (is_dead(trial) or last_value(trial) is not None)


def _holds(dimension: Dimension, trial: Trial) -> bool:
    value = trial.params.get(dimension.name)
    if isinstance(dimension, Choices):
        return value in dimension.choices
    return isinstance(value, int | float) and math.isfinite(value)


def _spread(trials: Sequence[Trial]) -> list[Trial]:
    if len(trials) <= MOST:
        return list(trials)
    return [trials[index * (len(trials) - 1) // (MOST - 1)] for index in range(MOST)]


def _group(title: str, trials: Sequence[Trial], snapshot: Snapshot) -> _Group:
    ranks = _ranks(trials, maximize=snapshot.study.maximize)
    why_not = ""
    if len(trials) < FEWEST:
        why_not = f"{title}: too few, {len(trials)} of at least {FEWEST}"
    elif np.ptp(ranks) == 0:
        why_not = f"{title}: all {len(trials):,} have the same result"
    return _Group(title=title, trials=trials, ranks=ranks, why_not=why_not)


def _ranks(trials: Sequence[Trial], *, maximize: bool) -> Floats:
    """Return ranks (n,) from the worst; ties share their mean, and all dead trials are tied as the worst."""
    worst = -math.inf
    values = [worst if is_dead(trial) else (last_value(trial) or 0.0) for trial in trials]
    signed = [value if maximize or value == worst else -value for value in values]
    return mean_ranks(np.array(signed, np.float64))


def _panel(group: _Group, search: Sequence[Dimension], *, seed: int) -> ImportancePanel:
    count = len(group.trials)
    generator = np.random.Generator(np.random.PCG64([seed, IMPORTANCE_STREAM]))
    resamples = generator.multinomial(count, np.full(count, 1 / count), size=RESAMPLES).astype(np.float64)
    rows = (_importance(dimension, group, resamples) for dimension in search)
    return ImportancePanel(
        title=group.title, trials=count, rows=tuple(row for row in rows if row is not None)
    )


def _importance(dimension: Dimension, group: _Group, resamples: Floats) -> Importance | None:
    """Return one parameter's share with the percentiles of its resamples, shifted by the resamples' mean error.

    Only trials that have the parameter count; None if they are fewer than `FEWEST`. Resamples repeat trials, so their
    groups look tighter than they are: Davison and Hinkley 1997, "Bootstrap Methods and their Application", sections
    2.1.2 and 5.2.
    """
    places = [place for place, trial in enumerate(group.trials) if dimension.name in trial.params]
    if len(places) < FEWEST:
        return None
    ranks = mean_ranks(group.ranks[places])
    members = _groups_of(dimension, [group.trials[place] for place in places])
    share = float(explained(ranks, members, np.ones((1, len(places))))[0])
    drawn = explained(ranks, members, resamples[:, places])
    tail = (1 - CONFIDENCE) / 2
    moved = np.quantile(drawn, (tail, 1 - tail)) - (drawn.mean() - share)
    low, high = max(0.0, min(float(moved[0]), share)), min(1.0, max(float(moved[1]), share))
    return Importance(name=dimension.name, share=share, low=low, high=high)


def _groups_of(dimension: Dimension, trials: Sequence[Trial]) -> NDArray[np.intp]:
    """Return the number of each trial's group (n,): its choice, or its index among equally large groups of values."""
    values = [trial.params[dimension.name] for trial in trials]
    if isinstance(dimension, Choices):
        return np.array([dimension.choices.index(value) for value in values], np.intp)
    numbers = np.array(values, np.float64)
    count = int(np.clip(len(trials) // PER_GROUP, 2, MOST_GROUPS))
    # Equal values are in one group, so the few values of a small integer range are groups of their own.
    below, _ = counts_below_and_equal(numbers)
    return np.minimum(below * count // len(trials), count - 1).astype(np.intp)


def _members(groups: NDArray[np.intp]) -> Floats:
    """Return the membership of trials in groups (n, k) as 0 and 1."""
    return np.eye(int(groups.max()) + 1)[groups]


def _ordered(panels: Sequence[ImportancePanel]) -> tuple[ImportancePanel, ...]:
    """Return the panels with their rows in one order: by the importance among all trials, the greatest first."""
    if not panels:
        return ()
    shares = {row.name: row.share for row in panels[-1].rows}
    return tuple(
        ImportancePanel(
            title=panel.title,
            trials=panel.trials,
            rows=tuple(sorted(panel.rows, key=lambda row: -shares[row.name])),
        )
        for panel in panels
    )


def _alone_words(search: Sequence[Dimension]) -> str:
    if not search:
        return "This study searches nothing, so no parameter has an importance."
    return f"This study searches only {search[0].name}, so there is nothing to compare it with."


def _caption(groups: Sequence[_Group], snapshot: Snapshot, *, evaluated: int) -> str:
    sentences = [f"Not estimated for {group.why_not}." for group in groups if group.why_not]
    if len(sentences) == len(groups):
        return " ".join(sentences)
    sentences.insert(0, _METHOD)
    if any(
        each.name not in trial.params for each in snapshot.study.spec.search for trial in groups[1].trials
    ):
        sentences.append(_PARTLY)
    ended = sum(_is_known(trial, snapshot.study.spec.search) for trial in snapshot.trials)
    if evaluated < ended:
        sentences.append(
            f"{evaluated:,} of {format_count(ended, 'trial')} were used, spread evenly over their numbers."
        )
    return " ".join(sentences)
