"""The list of all studies, with links to their reports; and a study's live report."""

from collections.abc import Sequence

from hpsearch.analysis.formats import format_result, format_time
from hpsearch.analysis.study_state import MADE_BY_OPTUNA, state_of
from hpsearch.dashboard.links import report_link, stock_study_link, trial_link, trials_link
from hpsearch.dashboard.live import StudyView
from hpsearch.dashboard.pages import Page, framed, head, link, serving, table
from hpsearch.report.figures.catalogue import exhibits
from hpsearch.report.page import render
from hpsearch.report.parts import empty, text, with_trial_links
from hpsearch.storage.records import Listed
from hpsearch.trials import TrialState

_HEADS = ("study", "state", "finished", "running", "waiting", "failed", "best in the search", "created", "")


def reports_page(studies: Sequence[Listed]) -> Page:
    """Return the list of studies, made by any client, readable or not, the newest first."""
    rows = [_row(listed) for listed in reversed(studies)]
    body = head("hpsearch", "Reports")
    body += table(_HEADS, rows) if rows else empty("No study yet: `hpsearch study run FILE` makes one.")
    return framed("hpsearch reports", body)


def _row(listed: Listed) -> list[str]:
    name, count, study = listed.name, listed.trials, listed.study
    finished = f"{count[TrialState.COMPLETE] + count[TrialState.PRUNED]:,}"
    cells = [f"{count[state]:,}" for state in (TrialState.RUNNING, TrialState.WAITING, TrialState.FAILED)]
    stock = link(stock_study_link(listed.study_id), "in Optuna's dashboard")
    if study is None or listed.progress is None:
        return [text(name), text(f"unreadable: {listed.unreadable}"), finished, *cells, "", "", stock]
    is_ours, best = study.foreign is None, listed.progress.best
    state = state_of(listed.progress)
    return [
        link(report_link(name), name),
        text(state if is_ours else f"{state}, {MADE_BY_OPTUNA}"),
        f"{finished} of {listed.progress.budget:,}" if is_ours else finished,
        *cells,
        "" if best is None else text(format_result(best.value, study.spec.metric)),
        text(format_time(study.created)),
        stock,
    ]


def report_page(view: StudyView, tag: str) -> str:
    """Return the report of a study, whose version has that tag, as HTML."""
    study = view.snapshot.study
    stock = stock_study_link(study.study_id)
    drawn = view.cached("exhibits", exhibits)
    served = serving(tag, stock=stock, trials=trials_link(study.spec.name))
    return view.cached(
        "report",
        lambda snapshot: with_trial_links(
            render(snapshot, serving=served, drawn=drawn), lambda number: trial_link(study.spec.name, number)
        ),
    )
