"""Where a study stands, for people."""

from hpsearch.cli.output import answer, write_table
from hpsearch.report.formats import format_parameters, format_result, format_share, format_short_metric
from hpsearch.report.words import fate_rows, state_sentence
from hpsearch.storage.records import Progress, StoredStudy


def write_overview(study: StoredStudy, progress: Progress) -> None:
    """Write how the study stands, its fates, and its ledger to stdout."""
    answer(f"{study.spec.name}: {state_sentence(progress)}")
    if progress.best is not None:
        metric = study.spec.metric
        value = f"{format_short_metric(metric)} {format_result(progress.best.value, metric)}"
        params = format_parameters(progress.best.params, study.spec.search)
        answer(f"Best so far: trial {progress.best.number} ({value}) | {params}")
    answer()
    write_fates(progress)
    answer()
    write_ledger(progress)


def write_fates(progress: Progress) -> None:
    """Write how many trials met which fate, and the epochs that they began, to stdout."""
    rows = fate_rows(progress)
    cells = [(row.fate.value, f"{row.trials:,}", f"{row.epochs:,}") for row in rows]
    total = ("all", f"{sum(row.trials for row in rows):,}", f"{sum(row.epochs for row in rows):,}")
    write_table(("fate", "trials", "epochs"), [*cells, total], right=frozenset({"trials", "epochs"}))


def write_ledger(progress: Progress) -> None:
    """Write where every epoch went to stdout."""
    cells = [
        (cause, f"{epochs:,}", format_share(epochs, progress.epochs))
        for cause, epochs in progress.ledger.items()
    ]
    total = ("all", f"{progress.epochs:,}", "")
    write_table(("ledger", "epochs", "share"), [*cells, total], right=frozenset({"epochs", "share"}))
