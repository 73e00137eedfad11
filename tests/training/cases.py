"""Small made-up data and configurations for the tests of cohorts."""

from dataclasses import fields
from typing import Any

import numpy as np

from hpsearch.data.prepare import DataPart, PreparedData
from hpsearch.nn.arrays import Array
from hpsearch.study.spec import Configuration, ModelSpec, Precision, TrainingSpec
from hpsearch.training.cohort import Cohort
from hpsearch.training.row import Observation, shape_of

SEED = 20170523


def classification(
    *,
    training: int = 60,
    validation: int = 20,
    inputs: int = 7,
    classes: int = 4,
    precision: Precision = "float32",
) -> PreparedData:
    """Return noisy blobs, one around a random point per class."""
    generator = np.random.default_rng(11)
    labels = generator.integers(0, classes, training + validation)
    centres = generator.standard_normal((classes, inputs))
    x = centres[labels] + generator.standard_normal((len(labels), inputs))
    return _prepared(x.astype(precision), labels, training, outputs=classes, classes=classes)


def regression(
    *,
    training: int = 60,
    validation: int = 20,
    inputs: int = 7,
    outputs: int = 2,
    precision: Precision = "float32",
) -> PreparedData:
    """Return numbers that are a smooth function of the inputs, with noise."""
    generator = np.random.default_rng(12)
    x = generator.standard_normal((training + validation, inputs))
    y = np.sin(x @ generator.standard_normal((inputs, outputs))) + 0.1 * generator.standard_normal(
        (len(x), outputs)
    )
    return _prepared(x.astype(precision), y.astype(precision), training, outputs=outputs)


def _prepared(x: Array, y: Array, training: int, *, outputs: int, classes: int = 0) -> PreparedData:
    return PreparedData(
        task="classification" if classes else "regression",
        classes=tuple(str(index) for index in range(classes)),
        class_counts=tuple(np.bincount(y[:training], minlength=classes).tolist()) if classes else (),
        inputs=x.shape[1],
        outputs=outputs,
        training=DataPart(inputs=x[:training], targets=y[:training]),
        validation=DataPart(inputs=np.ascontiguousarray(x[training:]), targets=y[training:]),
        test=None,
        fingerprint="made up",
        origin="made up",
    )


def configuration(**values: Any) -> Configuration:
    """Return a small configuration with `values`, fields of ModelSpec and TrainingSpec, in it."""
    chosen = {"hidden": (5,), "loss": "cross_entropy", "epochs": 3, "batch_size": 10, **values}
    model = {field.name for field in fields(ModelSpec)}
    return Configuration(
        model=ModelSpec(**{name: value for name, value in chosen.items() if name in model}),
        training=TrainingSpec(**{name: value for name, value in chosen.items() if name not in model}),
    )


def cohort_of(
    data: PreparedData, configurations: list[Configuration], *, capacity: int | None = None, seed: int = SEED
) -> Cohort:
    """Return a cohort in which trial k, with the k-th configuration, has just joined."""
    cohort = Cohort(shape_of(configurations[0]), data, capacity=capacity or len(configurations), seed=seed)
    for number, chosen in enumerate(configurations):
        cohort.join(number, chosen)
    return cohort


def trained(cohort: Cohort) -> dict[int, tuple[Observation, Array]]:
    """Train until every trial is finished; return each one's last observation and its parameters."""
    finished = {}
    while cohort.numbers:
        for observation in cohort.advance():
            if observation.is_finished:
                finished[observation.number] = observation, cohort.parameters(observation.number)
                cohort.leave(observation.number)
    return finished


def stepped(cohort: Cohort) -> list[Observation]:
    """Take one step and return its observations; `advance` would continue until there is one."""
    with np.errstate(all="ignore"):
        return cohort._step()
