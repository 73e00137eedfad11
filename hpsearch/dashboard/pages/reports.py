"""The list of all studies, with links to their reports; and a study's live report."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

from hpsearch.analysis.formats import format_result, format_time
from hpsearch.analysis.study_state import MADE_BY_OPTUNA, state_of
from hpsearch.dashboard.links import report_link, stock_study_link, trial_link, trials_link
from hpsearch.dashboard.live import StudyView
from hpsearch.dashboard.pages import Page, fill, page_of, server_parts
from hpsearch.report.figures.catalogue import exhibits
from hpsearch.report.page import render
from hpsearch.report.parts import with_trial_links
from hpsearch.storage.records import Listed
from hpsearch.trials import TrialState

_HEADS: Final = (
    *("study", "state", "finished", "running", "waiting", "failed", "best in the search", "created", ""),
)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class _Row:
    """A study in the list: its name, the paths of its pages, and the cells between them."""

    name: str
    report: str | None
    stock: str
    cells: Sequence[str]


def reports_page(studies: Sequence[Listed]) -> Page:
    """Return the list of studies, made by any client, readable or not, the newest first."""
    rows = [_row(listed) for listed in reversed(studies)]
    return page_of("hpsearch reports", fill("reports.html", heads=_HEADS, studies=rows))


def _row(listed: Listed) -> _Row:
    name, count, study = listed.name, listed.trials, listed.study
    finished = f"{count[TrialState.COMPLETE] + count[TrialState.PRUNED]:,}"
    counts = [f"{count[state]:,}" for state in (TrialState.RUNNING, TrialState.WAITING, TrialState.FAILED)]
    stock = stock_study_link(listed.study_id)
    if study is None or listed.progress is None:
        cells = [f"unreadable: {listed.unreadable}", finished, *counts, "", ""]
        return _Row(name=name, report=None, stock=stock, cells=cells)
    is_ours, best = study.foreign is None, listed.progress.best
    state = state_of(listed.progress)
    cells = [
        state if is_ours else f"{state}, {MADE_BY_OPTUNA}",
        f"{finished} of {listed.progress.budget:,}" if is_ours else finished,
        *counts,
        "" if best is None else format_result(best.value, study.spec.metric),
        format_time(study.created),
    ]
    return _Row(name=name, report=report_link(name), stock=stock, cells=cells)


def report_page(view: StudyView, tag: str) -> str:
    """Return the report of a study, whose version has that tag, as HTML."""
    study = view.snapshot.study
    stock = stock_study_link(study.study_id)
    drawn = view.cached("exhibits", exhibits)
    served = server_parts(tag, stock=stock, trials=trials_link(study.spec.name))
    return view.cached(
        "report",
        lambda snapshot: with_trial_links(
            render(snapshot, server_parts=served, drawn=drawn),
            lambda number: trial_link(study.spec.name, number),
        ),
    )
