"""What a study would run, as lines for people."""

from collections.abc import Iterator

from hpsearch.analysis.formats import format_count
from hpsearch.cli.output import answer
from hpsearch.study.messages import format_size
from hpsearch.study.plan import Plan, plan
from hpsearch.study.spec import fault_in_words
from hpsearch.training.examples import output_count
from hpsearch.worker.capacity import check_memory, job_of, rows_per_worker
from hpsearch.worker.machine import core_count
from hpsearch.worker.preparation import PreparedStudy


def write_plan(study: PreparedStudy) -> None:
    """Write to stdout what the study would run on this machine. Raises StudyFileError where it has no room for it."""
    job = job_of(study)
    check_memory(job)
    outputs = output_count(study.data, study.spec.model)
    planned = plan(
        study.spec,
        training_examples=len(study.data.training.inputs),
        inputs=study.data.inputs,
        outputs=outputs,
    )
    for name, value in _lines(study, planned, job.bytes_per_row):
        answer(f"{name:<22}{value}")


def _lines(study: PreparedStudy, planned: Plan, bytes_per_row: int) -> Iterator[tuple[str, str]]:
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
    workers = min(core_count(), spec.trials)
    rows = rows_per_worker(bytes_per_row, budget=spec.trials, workers=workers)
    yield "workers here", f"{workers}, each with a cohort of {format_count(rows, 'row')}"
    yield "memory of a cohort", format_size(bytes_per_row * rows)


def _examples(study: PreparedStudy) -> str:
    data = study.data
    test = "" if data.test is None else f", {len(data.test.inputs):,} sealed for testing"
    return f"{len(data.training.inputs):,} to train on, {len(data.validation.inputs):,} to validate{test}"
