"""The list of all studies, with the way to their reports; and a study's report, live."""

from collections.abc import Sequence

from hpsearch.dashboard.links import report_link, stock_study_link, trial_link, trials_link
from hpsearch.dashboard.live import Seen
from hpsearch.dashboard.pages.frame import Page, framed, head, link, serving, table
from hpsearch.report.figures.catalogue import exhibits
from hpsearch.report.formats import format_result, format_time
from hpsearch.report.page import render
from hpsearch.report.parts import empty, text, with_trial_links
from hpsearch.report.words import state_of
from hpsearch.storage.records import Progress, StoredStudy

_HEADS = ("study", "state", "finished", "running", "waiting", "failed", "best in the search", "created", "")


def reports_page(studies: Sequence[tuple[StoredStudy, Progress]], foreign: Sequence[str]) -> Page:
    """Return the list of studies, the newest in front; `foreign` names those that hpsearch did not make."""
    rows = [_row(study, progress) for study, progress in reversed(studies)]
    body = head("hpsearch", "Reports")
    body += table(_HEADS, rows) if rows else empty("No study yet: `hpsearch study run FILE` makes one.")
    if foreign:
        listed = ", ".join(foreign)
        body += f"<footer><p>Made by other Optuna clients, without a report: {text(listed)}.</p></footer>"
    return framed("hpsearch reports", body)


def _row(study: StoredStudy, progress: Progress) -> list[str]:
    name, best = study.spec.name, progress.best
    return [
        link(report_link(name), name),
        text(state_of(progress)),
        f"{progress.finished:,} of {progress.budget:,}",
        f"{progress.running:,}",
        f"{progress.waiting:,}",
        f"{progress.failed:,}",
        "" if best is None else text(format_result(best.value, study.spec.metric)),
        text(format_time(study.created)),
        link(stock_study_link(study.study_id), "in Optuna's dashboard"),
    ]


def report_page(seen: Seen, tag: str) -> str:
    """Return the report of a study, whose version has that tag, as HTML."""
    study = seen.snapshot.study
    stock = stock_study_link(study.study_id)
    drawn = seen.once("exhibits", exhibits)
    served = serving(tag, stock=stock, trials=trials_link(study.spec.name))
    return seen.once(
        "report",
        lambda snapshot: with_trial_links(
            render(snapshot, serving=served, drawn=drawn), lambda number: trial_link(study.spec.name, number)
        ),
    )
