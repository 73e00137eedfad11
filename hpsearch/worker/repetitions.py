"""Configurations of a study, trained again with fresh seeds to their last epoch.

A fresh seed changes the initial weights, dropout and the order of the data. The split remains that of the study's own
seed: values are compared on the same validation examples, and the test part stays sealed. All configurations share the
order of the data of a fresh seed, so their differences are paired.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, final

import numpy as np
from threadpoolctl import threadpool_limits

from hpsearch.data.prepare import PreparedData
from hpsearch.errors import DataError
from hpsearch.storage.records import Evaluation, Part
from hpsearch.study.metrics import Metric, kept_epoch, until_stalled
from hpsearch.study.spec import Configuration, StudySpec, configure
from hpsearch.telemetry import Epoch
from hpsearch.training.folds import trainer_for
from hpsearch.training.loop import train_to_end
from hpsearch.training.row import Shape, by_shape
from hpsearch.trials import ParameterValue
from hpsearch.worker.preparation import PreparedStudy
from hpsearch.worker.shutdown import StopRequest

_SEED_STREAMS: Final[Mapping[Part, int]] = {
    "validation": int.from_bytes(b"conf"),
    "test": int.from_bytes(b"test"),
}
"""Second words of the seeds that generate fresh seeds; the first is the study's seed.

The two parts have separate seeds: a configuration that was lucky with the seeds of its selection is tested with other
ones.
"""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Repetition:
    """Trials of one shape to be trained with one fresh seed, in one cohort."""

    seed: int
    shape: Shape
    configurations: Mapping[int, Configuration]


def fresh_seeds(seed: int, part: Part, count: int) -> tuple[int, ...]:
    """Return the first `count` fresh seeds (0..2^32 - 1) of a study's seed. A larger `count` only appends."""
    sequence = np.random.SeedSequence([seed, _SEED_STREAMS[part]])
    return tuple(int(word) for word in sequence.generate_state(count))


def repetitions(
    study: PreparedStudy,
    trials: Mapping[int, Mapping[str, ParameterValue]],
    wanted: Mapping[int, Sequence[int]],
    *,
    rows: int,
) -> list[Repetition]:
    """Return the repetitions to train: the `trials` (number -> parameters) that are `wanted` (seed -> numbers).

    At most `rows` trials are trained at once.
    """
    return [
        Repetition(seed=seed, shape=shape, configurations=chosen)
        for seed, numbers in wanted.items()
        for shape, chosen in by_shape({n: configure(study.spec, trials[n]) for n in numbers}, rows=rows)
    ]


def train(
    study: PreparedStudy, planned: Sequence[Repetition], *, part: Part, stop: StopRequest
) -> Iterator[list[Evaluation]]:
    """Train each repetition and yield its measurements on `part`, until `stop` is requested.

    The repetition in training at that time is not finished. Nothing is pruned. Raises DataError if `part` is the test
    part and there is none.
    """
    data = _measured_on(study.data, part)
    with threadpool_limits(limits=1):
        for job in planned:
            measured = _train(job, data, study.spec.metric, stop)
            # Validation chooses the epoch that counts. The test part must not, so such a job is trained twice.
            is_chosen_apart = part == "test" and any(
                one.training.keep == "best" for one in job.configurations.values()
            )
            chooser = _train(job, study.data, study.spec.metric, stop) if is_chosen_apart else measured
            if measured is None or chooser is None:
                return
            yield [
                _evaluation(
                    number,
                    part,
                    job.seed,
                    epochs[_kept(job, number, chooser, study.spec)],
                    study.spec.metric,
                )
                for number, epochs in measured.items()
            ]


def _measured_on(data: PreparedData, part: Part) -> PreparedData:
    """Return `data` with `part` as the validation part of a cohort, from which no weight ever learns.

    For the test part a study with folds trains on all other examples, with the preprocessing of these.
    """
    if part == "validation":
        return data
    if data.test is None:
        raise DataError(f"{data.origin}: must have a test part (got none): set data.test_fraction")
    return replace(data, validation=data.test, folds=())


def _train(
    job: Repetition, data: PreparedData, metric: Metric, stop: StopRequest
) -> dict[int, Sequence[Epoch]] | None:
    """Return the epochs of each of the job's trials; None once `stop` is requested."""
    trainer = trainer_for(job.shape, data, capacity=len(job.configurations), seed=job.seed, metric=metric)
    ends = train_to_end(trainer, job.configurations, is_interrupted=lambda: stop.is_requested)
    epochs = {end.number: end.telemetry.epochs for end in ends}
    return None if trainer.numbers else epochs


def _kept(job: Repetition, number: int, epochs: Mapping[int, Sequence[Epoch]], spec: StudySpec) -> int:
    """Return the epoch that counts of a trial with these `epochs`: of those before a limit ends it."""
    keep, limit = job.configurations[number].training.keep, spec.limits.trial_epochs_without_improvement
    counting = until_stalled(epochs[number], metric=spec.metric, limit=limit)
    return kept_epoch(counting, metric=spec.metric, keep=keep).epoch


def _evaluation(number: int, part: Part, seed: int, kept: Epoch, metric: Metric) -> Evaluation:
    return Evaluation(
        number=number,
        part=part,
        seed=seed,
        loss=kept.validation_loss,
        accuracy=kept.validation_accuracy,
        score=kept.scores.get(metric),
        made=datetime.now(UTC),
    )
