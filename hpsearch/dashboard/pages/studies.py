"""The list of all studies, the page of one, from which it is operated, and the comparison of several."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, final

from hpsearch.analysis.formats import format_result, format_time
from hpsearch.analysis.snapshot import Snapshot
from hpsearch.analysis.study_state import MADE_BY_OPTUNA, state_of
from hpsearch.dashboard.links import (
    COMPARE,
    operations_link,
    stock_study_link,
    study_link,
    trial_link,
    trials_link,
)
from hpsearch.dashboard.live import StudyView
from hpsearch.dashboard.operations import LIMITS, VALUE
from hpsearch.dashboard.pages import Page, fill, page_of, server_parts
from hpsearch.report.figures.catalogue import exhibits
from hpsearch.report.page import render
from hpsearch.report.parts import with_trial_links
from hpsearch.report.request import ReportRequest
from hpsearch.storage.records import Listed
from hpsearch.study.messages import toml_text
from hpsearch.study.plan import dimension_in_words
from hpsearch.study.spec import Choices, Dimension
from hpsearch.trials import TrialState

_HEADS: Final = (
    *("", "study", "state", "finished", "running", "waiting", "failed", "best in the search", "created", ""),
)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class _Row:
    """A study in the list: its name, the paths of its pages, and the cells between them."""

    name: str
    page: str | None
    stock: str
    cells: Sequence[str]


def studies_page(studies: Sequence[Listed]) -> Page:
    """Return the list of studies, made by any client, readable or not, the newest first."""
    rows = [_row(listed) for listed in reversed(studies)]
    body = fill("studies.html", heads=_HEADS, studies=rows, compare=COMPARE)
    return page_of("hpsearch studies", body)


def _row(listed: Listed) -> _Row:
    name, count, study = listed.name, listed.trials, listed.study
    finished = f"{count[TrialState.COMPLETE] + count[TrialState.PRUNED]:,}"
    counts = [f"{count[state]:,}" for state in (TrialState.RUNNING, TrialState.WAITING, TrialState.FAILED)]
    stock = stock_study_link(listed.study_id)
    if study is None or listed.progress is None:
        cells = [f"unreadable: {listed.unreadable}", finished, *counts, "", ""]
        return _Row(name=name, page=None, stock=stock, cells=cells)
    is_ours, best = study.foreign is None, listed.progress.best
    state = state_of(listed.progress)
    cells = [
        state if is_ours else f"{state}, {MADE_BY_OPTUNA}",
        f"{finished} of {listed.progress.budget:,}" if is_ours else finished,
        *counts,
        "" if best is None else format_result(best.value, study.spec.metric),
        format_time(study.created),
    ]
    return _Row(name=name, page=study_link(name), stock=stock, cells=cells)


def study_page(view: StudyView, tag: str, *, can_operate: bool = True) -> str:
    """Return the page of a study, whose version has that tag, as HTML: its report, and the forms that operate it."""
    study = view.snapshot.study
    controls = _operations(view.snapshot) if can_operate and study.foreign is None else ""
    drawn = view.cached("exhibits", exhibits)
    served = server_parts(
        tag, stock=stock_study_link(study.study_id), trials=trials_link(study.spec.name), controls=controls
    )
    return view.cached(
        "page",
        lambda snapshot: with_trial_links(
            render(snapshot, server_parts=served, drawn=drawn),
            lambda number: trial_link(study.spec.name, number),
        ),
    )


def comparison_page(snapshots: Sequence[Snapshot], tag: str) -> str:
    """Return the report of the first study in comparison with the others, whose version has that tag, as HTML."""
    first, name = snapshots[0], snapshots[0].study.spec.name
    served = server_parts(tag, stock=stock_study_link(first.study.study_id), trials=trials_link(name))
    page = render(first, ReportRequest(others=tuple(snapshots[1:])), server_parts=served)
    return with_trial_links(page, lambda number: trial_link(name, number))


def confirmation_page(name: str, words: str) -> Page:
    """Return the progress of a study's confirmation, in the last words about it."""
    body = fill("confirmation_pending.html", study=name, words=words, page=study_link(name))
    return page_of(f"{name}: confirmation", body)


def _operations(snapshot: Snapshot) -> str:
    study, progress = snapshot.study, snapshot.progress
    spec = study.spec
    return fill(
        "operations.html",
        path=operations_link(spec.name),
        is_paused=progress.is_paused,
        is_done=progress.is_done,
        trials=progress.budget,
        priority=study.priority,
        limits=[(key, getattr(spec.budget, key)) for key in LIMITS],
        dimensions=[] if spec.configurations else list(map(_entry, spec.search)),
        can_confirm=progress.complete > 0 and (spec.objective is None or spec.objective.is_importable),
    )


def _entry(dimension: Dimension) -> dict[str, Any]:
    """Return the field of a form for a value of the dimension; `choices` are TOML."""
    choices = dimension.choices if isinstance(dimension, Choices) else ()
    return {
        "field": f"{VALUE}{dimension.name}",
        "words": dimension_in_words(dimension),
        "choices": [toml_text(choice) for choice in choices],
    }
