"""A study before it runs: its file, its data, and how many trials a worker trains at once."""

import itertools
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, final

from hpsearch.data.memory import memory_bytes, process_memory_bytes
from hpsearch.data.prepare import PreparedData, prepare
from hpsearch.errors import HpsearchError, Problem, StudyFileError
from hpsearch.nn.network import build_network
from hpsearch.study.amounts import format_size
from hpsearch.study.configurations import exact_configurations, fixed_at
from hpsearch.study.plan import check_fits
from hpsearch.study.reader import read_study
from hpsearch.study.spec import Configuration, Dimension, Range, StudySpec, configure, resolve
from hpsearch.training.capacity import cohort_capacity, row_bytes, rows_in_flight
from hpsearch.training.examples import output_count
from hpsearch.worker.machine import cache_share_bytes

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
class PreparedStudy:
    """A specification in which nothing is "auto" any more, and its data. Minibatches fit the training part."""

    spec: StudySpec
    data: PreparedData


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What is known of a prepared study without its arrays. `bytes_per_row` is `largest_row_bytes`."""

    spec: StudySpec
    fingerprint: str
    origin: str
    bytes_per_row: int


def is_study_file(target: str) -> bool:
    """True where `target` means a study file, and not the name of a stored study."""
    try:
        return target.endswith(".toml") or Path(target).is_file()
    except OSError:  # too long for a path, which names of studies may be
        return False


def prepare_file(path: Path, *, name: str | None = None, trials: int | None = None) -> PreparedStudy:
    """Return the study of a file, with `name` and `trials` in place of its own. Raises what is wrong with it."""
    return _prepare(path, read_study(path, name=name, trials=trials))


def prepare_configuration(
    path: Path, settings: Mapping[str, Any], *, chosen: str | None = None
) -> PreparedStudy:
    """Return one configuration of a file as a study that searches nothing, with `settings` in place of its own.

    `settings` are key paths with raw values. `chosen` is the name of one of the file's exact configurations, or its
    place among them from 0. Raises UsageError where it is needed and not given, or the other way round, and what is
    wrong with file and settings.
    """
    spec = read_study(path, settings=settings)
    return _prepare(path, replace(fixed_at(spec, chosen, settings), search=(), configurations=()))


def _prepare(path: Path, spec: StudySpec) -> PreparedStudy:
    try:
        return prepare_study(spec)
    except StudyFileError as error:
        # Only the data could tell, but what is wrong stands in the file.
        raise StudyFileError(str(path), error.problems) from error


def prepare_study(spec: StudySpec) -> PreparedStudy:
    """Return `spec` with its data, which is read here.

    Raises DataError for data that cannot be used, StudyFileError for a study that does not fit its data.
    """
    data = prepare(spec.data, seed=spec.seed, precision=spec.training.precision, environment=os.environ)
    resolved = resolve(spec, task=data.task)
    check_fits(resolved, len(data.training.inputs))
    return PreparedStudy(spec=resolved, data=data)


def job_of(study: PreparedStudy) -> Job:
    """Return what is known of the study without its arrays, which may then go."""
    return Job(
        spec=study.spec,
        fingerprint=study.data.fingerprint,
        origin=study.data.origin,
        bytes_per_row=largest_row_bytes(study),
    )


def check_memory(job: Job, *, rows: int = 1, workers: int = 1) -> None:
    """Return if this machine's memory holds what `workers` processes need that train `rows` trials each at once.

    Raises StudyFileError if it does not hold one trial, and HpsearchError, with the option to lower, if these are too
    many.
    """
    each = job.bytes_per_row
    for trials, processes, option in ((1, 1, ""), (rows, 1, "--cohort"), (rows, workers, "--workers")):
        room = _room_bytes(processes)
        if each * trials > room:
            raise _too_large(job, trials, processes, option)


def _room_bytes(workers: int) -> int:
    """Return the memory that each of `workers` may take."""
    return min(memory_bytes() // workers, process_memory_bytes())


def _too_large(job: Job, rows: int, workers: int, option: str) -> HpsearchError:
    """Return the error for too many trials at once, or too many workers; without an `option`, for a single trial."""
    what = "one trial" if rows == 1 else f"{rows} trials at once"
    if workers > 1:
        what = f"{workers} workers that train {what} each"
    room = format_size(_room_bytes(workers) * workers)
    rule = f"{what} must fit into the memory that is here, {room}"
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
    """Return how many of `workers` processes memory holds with one trial each, at least one."""
    return max(1, min(workers, memory_bytes() // max(job.bytes_per_row, 1)))


def rows_per_worker(bytes_per_row: int, *, budget: int, workers: int) -> int:
    """Return how many trials each of `workers` trains at once: what caches hold, memory and the budget allow."""
    capacity = cohort_capacity(bytes_per_row, cache_bytes=cache_share_bytes())
    room = _room_bytes(workers) // max(bytes_per_row, 1)
    return max(1, min(capacity, room, rows_in_flight(budget, workers=workers)))


def largest_row_bytes(study: PreparedStudy) -> int:
    """Return the memory in bytes that the training step of the study's largest network touches."""
    return max(_row_bytes(study, configuration) for configuration in _extremes(study.spec))


def _row_bytes(study: PreparedStudy, configuration: Configuration) -> int:
    outputs = output_count(study.data, configuration.model)
    network = build_network(configuration.model, inputs=study.data.inputs, outputs=outputs)
    return row_bytes(network, configuration.training)


def _extremes(spec: StudySpec) -> Iterator[Configuration]:
    """Yield the configurations among which the largest network is."""
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
