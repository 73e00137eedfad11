"""What a study would run, as lines for people."""

from collections.abc import Iterator

from hpsearch.analysis.formats import format_count
from hpsearch.cli.output import answer
from hpsearch.study.messages import format_size
from hpsearch.study.spec import fault_in_words
from hpsearch.worker.preparation import PreparedStudy
from hpsearch.workflows.studies import DryRun


def write_plan(dry_run: DryRun) -> None:
    """Write to stdout what the study would run on this machine."""
    for name, value in _lines(dry_run):
        answer(f"{name:<22}{value}")


def _lines(dry_run: DryRun) -> Iterator[tuple[str, str]]:
    study, planned = dry_run.study, dry_run.plan
    spec, data = study.spec, study.data
    yield "study", planned.name
    yield "trials", f"{planned.trials:,}"
    yield "epochs per trial", f"{planned.epochs} at most"
    yield "steps per epoch", str(planned.steps_per_epoch)
    yield (
        "parameters",
        f"{planned.parameters} per network, {planned.inputs} inputs, {planned.outputs} outputs",
    )
    yield "metric", spec.metric
    yield "data", data.origin
    if spec.data.fault is not None:
        yield "fault on purpose", fault_in_words(spec.data.fault)
    yield "examples", _examples(study)
    for line in planned.configurations:
        yield "configuration", line
    if not planned.configurations:
        for line in planned.search or ("nothing: every trial is the same but for its seed",):
            yield "search", line
    yield "sampler", planned.sampler
    yield "pruning", planned.pruning
    yield "workers here", f"{dry_run.workers}, each with a cohort of {format_count(dry_run.rows, 'row')}"
    yield "memory of a cohort", format_size(dry_run.bytes_per_row * dry_run.rows)


def _examples(study: PreparedStudy) -> str:
    data = study.data
    test = "" if data.test is None else f", {len(data.test.inputs):,} sealed for testing"
    return f"{len(data.training.inputs):,} to train on, {len(data.validation.inputs):,} to validate{test}"
