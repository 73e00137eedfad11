"""The number of trials that a worker trains at once: limited by caches, memory and the budget."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, final

from hpsearch.data.memory import memory_bytes, process_memory_bytes
from hpsearch.data.prepare import PreparedData
from hpsearch.errors import HpsearchError, Problem, StudyFileError
from hpsearch.nn.network import Network, build_network
from hpsearch.nn.optimizers import OPTIMIZERS
from hpsearch.study.configurations import exact_configurations
from hpsearch.study.messages import format_size
from hpsearch.study.spec import (
    Configuration,
    Dimension,
    ObjectiveSpec,
    Range,
    StudySpec,
    TrainingSpec,
    configure,
)
from hpsearch.training.examples import output_count
from hpsearch.worker.machine import cache_share_bytes
from hpsearch.worker.preparation import PreparedStudy

MOST_ROWS = 32
LEAST_ROWS = 8
SHARE_IN_FLIGHT = 10

_SIZING: Final = frozenset(
    {
        "model.hidden",
        "model.activation",
        "model.batch_norm",
        "model.batch_norm_affine",
        "model.dropout",
        "model.dropout_layers",
        "model.skip_connections",
        "training.batch_size",
        "training.optimizer",
    }
)
"""Searched names on which the memory of a row depends."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """A prepared study, with its `data` only if that is kept in memory for its workers.

    `bytes_per_row` is `largest_row_bytes`, 0 for a training function's.
    """

    spec: StudySpec
    fingerprint: str
    origin: str
    bytes_per_row: int
    data: PreparedData | None = None


def job_of(study: PreparedStudy, *, keep_data: bool = False) -> Job:
    """Return the study, without its arrays unless `keep_data`: they may then be freed."""
    return Job(
        spec=study.spec,
        fingerprint=study.data.fingerprint,
        origin=study.data.origin,
        bytes_per_row=largest_row_bytes(study),
        data=study.data if keep_data else None,
    )


def objective_job(spec: StudySpec, objective: ObjectiveSpec) -> Job:
    """Return a study with an objective as a job: its function reads its own data."""
    return Job(spec=spec, fingerprint="", origin=objective.function, bytes_per_row=0)


def rows_of_job(job: Job, *, budget: int, workers: int) -> int:
    """Return the number of trials that each of `workers` trains at once: `rows_per_worker`, or one process."""
    if job.spec.objective is not None:
        return 1
    return rows_per_worker(job.bytes_per_row, budget=budget, workers=workers)


def check_memory(job: Job, *, rows: int = 1, workers: int = 1) -> None:
    """Check that this machine's memory suffices for `workers` processes that train `rows` trials each at once.

    Raises StudyFileError if it cannot hold one trial, and HpsearchError, naming the option to lower, if there are too
    many.
    """
    each = job.bytes_per_row
    for trials, processes, option in ((1, 1, ""), (rows, 1, "--cohort"), (rows, workers, "--workers")):
        room = _memory_share_bytes(processes)
        if each * trials > room:
            raise _too_large(job, trials, processes, option)


def _memory_share_bytes(workers: int) -> int:
    """Return the memory in bytes that each of `workers` may use."""
    return min(memory_bytes() // workers, process_memory_bytes())


def _too_large(job: Job, rows: int, workers: int, option: str) -> HpsearchError:
    """Return the error for too many trials at once, or too many workers; without an `option`, for a single trial."""
    what = "one trial" if rows == 1 else f"{rows} trials at once"
    if workers > 1:
        what = f"{workers} workers that train {what} each"
    room = format_size(_memory_share_bytes(workers) * workers)
    rule = f"{what} must fit into the available memory, {room}"
    needed = format_size(job.bytes_per_row * rows * workers)
    if option:
        return HpsearchError(
            f"{option}: {rule} (got {needed}, {format_size(job.bytes_per_row)} a trial): lower it"
        )
    message = (
        f"{rule} (got {needed} of parameters, gradients and a minibatch): "
        "give it fewer units or a smaller training.batch_size, or take a machine with more memory"
    )
    is_searched = any(dimension.name == "model.hidden" for dimension in job.spec.search)
    where = "search.model.hidden" if is_searched else "model.hidden"
    return StudyFileError(job.spec.name, [Problem(where=where, message=message)])


def workers_that_fit(job: Job, workers: int) -> int:
    """Return the number of `workers` processes that fit in memory with one trial each, at least one."""
    return max(1, min(workers, memory_bytes() // max(job.bytes_per_row, 1)))


def rows_per_worker(bytes_per_row: int, *, budget: int, workers: int) -> int:
    """Return the number of trials that each of `workers` trains at once: limited by caches, memory and the budget."""
    capacity = cohort_capacity(bytes_per_row, cache_bytes=cache_share_bytes())
    room = _memory_share_bytes(workers) // max(bytes_per_row, 1)
    return max(1, min(capacity, room, rows_in_flight(budget, workers=workers)))


def largest_row_bytes(study: PreparedStudy) -> int:
    """Return the memory in bytes that the training step of the study's largest network touches, on all folds."""
    each = max(_row_bytes(study, configuration) for configuration in _largest_configurations(study.spec))
    return each * len(study.data.searched)


def _row_bytes(study: PreparedStudy, configuration: Configuration) -> int:
    outputs = output_count(study.data, configuration.model)
    network = build_network(configuration.model, inputs=study.data.inputs, outputs=outputs)
    return row_bytes(network, configuration.training)


def _largest_configurations(spec: StudySpec) -> Iterator[Configuration]:
    """Yield configurations that include the largest network."""
    if spec.configurations:
        yield from exact_configurations(spec)
        return
    sizing = {dimension.name: _sizes(dimension) for dimension in spec.search if dimension.name in _SIZING}
    for values in itertools.product(*sizing.values()):
        yield configure(spec, dict(zip(sizing, values, strict=True)))


def _sizes(dimension: Dimension) -> tuple[float | int | str | bool, ...]:
    if isinstance(dimension, Range):
        return (int(dimension.high) if dimension.integer else dimension.high,)
    return dimension.choices


def row_bytes(network: Network, training: TrainingSpec) -> int:
    """Return the memory in bytes that one row's training step touches: parameters, gradients, states, buffers."""
    states = OPTIMIZERS[training.optimizer].states
    inputs = 0 if training.order == "once" else network.blocks[0].dense.inputs  # "once" shares each minibatch
    per_example = inputs + sum(
        # activations, their gradients and scratch, and the caches of normalization, dropout, gates and skips
        (3 + (block.norm is not None) + (block.dropout is not None) + block.has_slope + block.skip)
        * block.dense.outputs
        for block in network.blocks
    )
    numbers = (3 + states) * network.parameters + training.batch_size * per_example
    return numbers * (8 if training.precision == "float64" else 4)


def cohort_capacity(bytes_per_row: int, *, cache_bytes: int) -> int:
    """Return the number of rows (8 to 32) whose step arrays fit in `cache_bytes`, one core's share of the last cache.

    With fewer rows the calls themselves dominate (a step is about 30 array operations); from 32 on their cost is
    negligible.
    """
    return max(LEAST_ROWS, min(MOST_ROWS, cache_bytes // max(bytes_per_row, 1)))


def rows_in_flight(budget: int, *, workers: int) -> int:
    """Return how many trials each of `workers` may train at once: together a tenth of the budget, at least one.

    A sampler that learns needs results: not all trials may be drawn until some have ended.
    """
    return max(1, budget // SHARE_IN_FLIGHT // workers)
