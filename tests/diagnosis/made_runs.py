"""Runs that are written down by hand: a healthy one, and what differs from it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hpsearch.diagnosis.facts import TrialFacts
from hpsearch.study.spec import Configuration, ModelSpec, TrainingSpec
from hpsearch.telemetry import DataFacts, Epoch, LayerSample, NonFinite, Sample, Telemetry
from hpsearch.verdicts import Cause
from tests.benchmarks.diagnosis.runs import Run
from tests.diagnosis.written import CLASSES

EPOCHS = 10
STEPS_PER_EPOCH = 60
STEPS = EPOCHS * STEPS_PER_EPOCH
LOOKS = (0, 5, 10, 15, 20, *range(25, 200, 25), *range(200, STEPS, 100))

NUMBERS = replace(CLASSES, class_shares=(), target_low=-1.0, target_high=1.0, target_variance=0.3)


def sample(step: int, *, dead: float = 0.0, first: float = 0.5, **changes: Any) -> Sample:
    """Return a look at a healthy network with one hidden layer, `dead` of its units silent and |g_1| = `first`.

    The loss falls from 2.3 to 0.2 in the first 200 steps and stays; `weights` and `saturated` are the hidden layer's.
    """
    hidden = LayerSample(
        dead_share=dead,
        gradient_norm=first,
        weight_norm=changes.pop("weights", 8.0),
        saturated_share=changes.pop("saturated", 0.0),
        update_norm=changes.pop("update", 0.01),
    )
    output = LayerSample(dead_share=0.0, gradient_norm=0.5, weight_norm=4.0, update_norm=0.01)
    values = {
        "loss": 0.2 + 2.1 * 0.5 ** (step / 40),
        "logit_max": 3.0,
        "predicted_decrease": 0.01,
        "accuracy": min(0.9, 0.1 + step / 250),
        "examples": 100,
        "batch_examples": 100,
    }
    return Sample(step=step, layers=(hidden, output), **values | changes)


def epoch(number: int, **changes: Any) -> Epoch:
    """Return the end of a healthy epoch: both losses fall, the validation accuracy stays below the training's."""
    loss = 0.2 + 0.8 * 0.6**number
    values = {
        "training_loss": loss,
        "validation_loss": loss + 0.01,
        "validation_accuracy": min(0.89, 0.5 + number / 20),
    }
    return Epoch(epoch=number, **values | changes)


def facts(*, data: DataFacts = CLASSES, rate: float = 0.01, **changes: Any) -> TrialFacts:
    """Return the facts of a 64-unit ReLU network trained by SGD; `changes` are fields of the model or the training."""
    model = ModelSpec(loss="cross_entropy" if data.is_classification else "mse")
    training = TrainingSpec(epochs=EPOCHS, learning_rate=rate)
    for name, value in changes.items():
        if name in ModelSpec.__dataclass_fields__:
            model = replace(model, **{name: value})
        else:
            training = replace(training, **{name: value})
    configuration = Configuration(model=model, training=training)
    return TrialFacts(configuration=configuration, data=data, steps_per_epoch=STEPS_PER_EPOCH)


def run(
    *labels: Cause,
    samples: Sequence[Sample] | None = None,
    epochs: Sequence[Epoch] | None = None,
    nonfinite: NonFinite | None = None,
    known: TrialFacts | None = None,
    **changes: Any,
) -> Run:
    """Return a run of ten epochs of 60 steps, healthy if nothing else is said; `changes` are fields of `Run`.

    A run with a first NaN ends there.
    """
    stop = STEPS if nonfinite is None else nonfinite.step
    looks = [sample(step) for step in LOOKS] if samples is None else samples
    ends = [epoch(number) for number in range(EPOCHS)] if epochs is None else epochs
    telemetry = Telemetry(
        steps=STEPS if nonfinite is None else stop + 1,
        samples=[look for look in looks if look.step < stop],
        epochs=[end for end in ends if (end.epoch + 1) * STEPS_PER_EPOCH <= stop],
        nonfinite=nonfinite,
    )
    values: dict[str, Any] = {
        "base": "digits/64/0",
        "injection": "none",
        "severity": 0.0,
        "seed": 0,
        "family": "digits/64",
        "is_held_out": True,
        "is_hard": False,
        "labels": labels or (Cause.HEALTHY,),
        "zero_column_share": 0.2,
        "facts": known or facts(),
        "telemetry": telemetry,
        "best_learning_rate": None,
    }
    return Run(**values | changes)


def every_look(**changes: Any) -> list[Sample]:
    """Return all looks at a healthy network, each with `changes` of `sample`."""
    return [sample(step, **changes) for step in LOOKS]


def every_epoch(**changes: Any) -> list[Epoch]:
    """Return all epochs of a healthy run, each with `changes`."""
    return [epoch(number, **changes) for number in range(EPOCHS)]
