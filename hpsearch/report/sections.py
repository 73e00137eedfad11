"""The sections of the report: the contents of each, for its template."""

from markupsafe import Markup

from hpsearch import __version__
from hpsearch.analysis.advice import advice
from hpsearch.analysis.best_trials import (
    best_lines,
    best_table,
    has_several_objectives,
    objectives_words,
    spread_words,
)
from hpsearch.analysis.configurations import configuration_rows, row_cells, row_heads
from hpsearch.analysis.confirmation import best_of, seed_results, seeds_words
from hpsearch.analysis.failures import failure_lines
from hpsearch.analysis.formats import (
    format_duration,
    format_metric,
    format_short_metric,
    format_time,
    loss_unit,
)
from hpsearch.analysis.snapshot import Snapshot
from hpsearch.analysis.study_state import fate_rows, limits_sentence, state_of, state_sentence
from hpsearch.analysis.verdict_summary import verdict_table
from hpsearch.report.figures.catalogue import Exhibit
from hpsearch.report.figures.comparison import chosen_trials, compared_table
from hpsearch.report.figures.ledger import ledger
from hpsearch.report.figures.studies import differences
from hpsearch.report.parts import piece
from hpsearch.report.request import ReportRequest
from hpsearch.study.messages import format_count
from hpsearch.study.spec import fault_in_words
from hpsearch.study.writer import specification_text


def header(snapshot: Snapshot) -> Markup:
    """Return the heading: name, state of the study, and its facts."""
    return piece(
        "sections.html",
        "header",
        state=state_of(snapshot.progress),
        name=snapshot.study.spec.name,
        lead=state_sentence(snapshot.progress),
        pairs=_study_facts(snapshot),
    )


def figure_header(snapshot: Snapshot, shown: Exhibit) -> Markup:
    """Return the heading of a single-figure page: the study, the figure, and the time."""
    taken = format_time(snapshot.taken)
    return piece("sections.html", "figure_header", shown, snapshot.study.spec.name, taken)


def fate_filter(snapshot: Snapshot) -> Markup:
    """Return the legend of all figures, which is also their filter."""
    rows = fate_rows(snapshot.progress)
    return piece("sections.html", "fate_filter", rows) if rows else Markup()


def best(snapshot: Snapshot) -> Markup:
    """Return the best lines and the table of the best configurations."""
    lines = best_lines(snapshot.trials, snapshot.study, evaluations=snapshot.evaluations)
    return piece(
        "sections.html",
        "best",
        lines=lines,
        why="No trial is complete with a finite result" + (" yet." if snapshot.progress.running else "."),
        exact=_configurations(snapshot),
        table_of_best=_best_table(snapshot) if lines else "",
    )


def exhibit(shown: Exhibit) -> Markup:
    """Return a figure: placeholders for its drawings, and its caption."""
    return piece("parts.html", "exhibit", shown)


def budget(snapshot: Snapshot) -> Markup:
    """Return the finished and remaining parts of the budget."""
    return piece("sections.html", "budget", ledger(snapshot).facts)


def verdicts(snapshot: Snapshot) -> Markup:
    """Return the advice from the trials, and the table of verdicts."""
    study = snapshot.study
    confirmed = bool(snapshot.evaluations)
    advised = advice(study.spec, snapshot.trials, maximize=study.maximize, is_confirmed=confirmed)
    failed = failure_lines(snapshot.trials)
    return piece("sections.html", "verdicts", advised, verdict_table(snapshot), failed)


def specification(snapshot: Snapshot) -> Markup:
    """Return the study file, collapsed."""
    return piece("sections.html", "specification", specification_text(snapshot.study.spec))


def footer(snapshot: Snapshot) -> Markup:
    """Return the page's maker and date."""
    fingerprint = "" if snapshot.study.foreign is not None else snapshot.study.fingerprint
    return piece("sections.html", "footer", __version__, format_time(snapshot.taken), fingerprint)


def _study_facts(snapshot: Snapshot) -> list[tuple[str, str]]:
    spec, progress = snapshot.study.spec, snapshot.progress
    if snapshot.study.foreign is not None:
        return _foreign_facts(snapshot)
    pairs = [
        (f"Best {format_metric(spec.metric)}", _best_value(snapshot)),
        ("Budget", format_count(progress.budget, "trial")),
        ("Limits", limits_sentence(progress)),
        ("Ended by", "" if progress.ended_by is None else f"budget.{progress.ended_by.name}"),
        ("Data", "" if spec.objective is not None else spec.data.source),
        ("Losses", "" if spec.objective is not None else loss_unit(spec)),
        ("Training function", "" if spec.objective is None else spec.objective.function),
        ("Fault on purpose", "" if spec.data.fault is None else fault_in_words(spec.data.fault)),
        ("Sampler, pruning", f"{spec.sampler.name}, {spec.pruning.rank}"),
        ("Epochs trained", f"{progress.epochs:,}"),
        ("Training took", _training_time(snapshot)),
        ("Created", format_time(snapshot.study.created)),
        ("Read", format_time(snapshot.taken)),
    ]
    return [(name, fact) for name, fact in pairs if fact]


def _best_value(snapshot: Snapshot) -> str:
    """Return the best trial's result, over fresh seeds if it was trained with any."""
    metric, best = snapshot.study.spec.metric, best_of(snapshot, 1)
    if not best:
        return "none yet"
    found = seed_results(best[0], snapshot.evaluations, part="validation", metric=metric)
    value = seeds_words(found, metric) if found.values else spread_words(best[0], metric)
    return f"{value} (trial {best[0].number})"


def _foreign_facts(snapshot: Snapshot) -> list[tuple[str, str]]:
    study = snapshot.study
    several = has_several_objectives(study)
    pairs = [
        ("Made by", "another Optuna client, which chooses and trains its trials"),
        ("Objectives" if several else "Objective", objectives_words(study)),
        ("Figures show", f"the first objective, {study.spec.metric}" if several else ""),
        ("Trials", f"{snapshot.progress.budget:,}"),
        ("Trials took", _training_time(snapshot)),
        ("First trial", format_time(study.created)),
        ("Read", format_time(snapshot.taken)),
    ]
    return [(name, fact) for name, fact in pairs if fact]


def _training_time(snapshot: Snapshot) -> str:
    """Return the time from the first start to the last end of a trial; empty if none has ended."""
    started = [trial.started for trial in snapshot.trials if trial.started is not None]
    finished = [trial.finished for trial in snapshot.trials if trial.finished is not None]
    if not started or not finished:
        return ""
    return format_duration(max((max(finished) - min(started)).total_seconds(), 0.0))


def _best_table(snapshot: Snapshot) -> Markup:
    table = best_table(snapshot)
    metric = format_metric(table.metric)
    has_seeds = any(row.seeds for row in table.rows)
    seeds = ["fresh seeds"] if has_seeds else []
    is_ours = snapshot.study.foreign is None
    ours = ["epochs", "verdict"] if is_ours else []
    heads = ["rank", "trial", *seeds, metric, *table.names, *ours]
    order = f"{metric} over fresh seeds, then in the search" if seeds else metric
    caption = f"The best {len(table.rows)}, by {order}"
    return piece("sections.html", "best_table", caption, heads, table.rows, has_seeds, is_ours)


def _configurations(snapshot: Snapshot) -> Markup:
    """Return the table of the exact configurations; empty if the study searches."""
    study = snapshot.study
    rows = configuration_rows(study, snapshot.trials)
    if not rows:
        return Markup()
    heads = row_heads(format_short_metric(study.spec.metric))
    metric = study.spec.metric
    return piece("sections.html", "configurations", heads, [row_cells(row, metric) for row in rows])


def comparison(snapshot: Snapshot, request: ReportRequest, shown: Exhibit) -> Markup:
    """Return the compared trials: their selection, their table, and their drawings."""
    chosen = chosen_trials(snapshot, request.trials) if shown.panels else ()
    if not chosen:
        return exhibit(shown)
    return piece("sections.html", "comparison", shown, compared_table(snapshot, chosen))


def studies(snapshot: Snapshot, request: ReportRequest, shown: Exhibit) -> Markup:
    """Return the comparison with other studies and their differences; empty if none was requested."""
    if not request.others:
        return Markup()
    snapshots = (snapshot, *request.others)
    names = [one.study.spec.name for one in snapshots]
    return piece("sections.html", "studies", shown, names, differences(snapshots))
