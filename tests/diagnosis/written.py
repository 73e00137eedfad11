"""Telemetry that is written down by hand: a trial at the level of chance, and what differs from it."""

import math
import re
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from hpsearch.diagnosis.facts import TrialFacts
from hpsearch.diagnosis.verdicts import CATALOGUE, Rule
from hpsearch.study.spec import SHORT_NAMES, Configuration, DataSpec, ModelSpec, TrainingSpec
from hpsearch.telemetry import DataFacts, Epoch, LayerSample, NonFinite, Sample, Telemetry
from hpsearch.verdicts import Cause, Finding

EPOCHS = 20
CHANCE = math.log(10)
"""The loss of a network that knows nothing of the ten equal classes of `CLASSES`."""

CLASSES = DataFacts(
    examples=6000,
    validation_examples=1500,
    class_shares=(0.1,) * 10,
    input_largest=1.0,
    input_mean_square=0.1,
    input_nonzero_share=0.2,
    input_is_binary=False,
    target_low=0.0,
    target_high=1.0,
    target_variance=0.0,
)
NUMBERS = replace(CLASSES, class_shares=(), target_low=-2.0, target_high=2.0, target_variance=1.0)

_SECTIONS = {"data": DataSpec, "model": ModelSpec, "training": TrainingSpec}
STUDY_KEYS = frozenset(SHORT_NAMES) | {
    f"{section}.{field.name}" for section, spec in _SECTIONS.items() for field in fields(spec)
}
"""The names that a study file may give a value to."""

_DECLARED = {entry.rule: entry.causes for entry in CATALOGUE}


def facts(
    *,
    steps: int = 300,
    data: DataFacts = CLASSES,
    rate: float = 0.1,
    expected: Sequence[Cause] = (),
    **changes: Any,
) -> TrialFacts:
    """Return the facts of a trial of 20 epochs with batches of 100; `changes` are of its model or its training."""
    model = {key: value for key, value in changes.items() if key in ModelSpec.__dataclass_fields__}
    training = {key: value for key, value in changes.items() if key not in model}
    loss = "cross_entropy" if data.is_classification else "mse"
    configuration = Configuration(
        model=ModelSpec(**{"loss": loss} | model),
        training=TrainingSpec(**{"learning_rate": rate, "epochs": EPOCHS} | training),
    )
    return TrialFacts(
        configuration=configuration,
        data=data,
        steps_per_epoch=steps // EPOCHS,
        expected=frozenset(expected),
    )


def sample(
    step: int,
    *,
    loss: float = 2.3,
    logit: float = 3.0,
    promise: float = 0.01,
    gain: float = math.nan,
    depth: int = 1,
    output: float = 0.5,
    **changes: Any,
) -> Sample:
    """Return a sample of a network with `depth` equal hidden layers whose output layer's gradient is `output`.

    With a `gain` it is a probe. `changes` are of the hidden layers, by the names below, or of the sample.
    """
    hidden = LayerSample(
        dead_share=changes.pop("dead", 0.0),
        gradient_norm=changes.pop("gradient", 0.5),
        weight_norm=changes.pop("weights", 8.0),
        silent_share=changes.pop("silent", 0.0),
        saturated_share=changes.pop("flat", 0.0),
        update_norm=changes.pop("travelled", math.nan),
    )
    last = LayerSample(
        dead_share=0.0, gradient_norm=output, weight_norm=4.0, update_norm=changes.pop("update", math.nan)
    )
    probed = {"actual_decrease": gain * promise}
    return Sample(
        step=step,
        loss=loss,
        logit_max=logit,
        predicted_decrease=promise,
        layers=(hidden,) * depth + (last,),
        **{"examples": 100, "batch_examples": 100} | probed | changes,
    )


def samples(steps: Sequence[int], **changes: Any) -> list[Sample]:
    """Return equal samples of those `steps`."""
    return [sample(step, **changes) for step in steps]


def telemetry(
    looks: Sequence[Sample],
    *,
    epochs: Sequence[Epoch] = (),
    nonfinite: NonFinite | None = None,
    steps: int | None = None,
) -> Telemetry:
    """Return telemetry that ends just behind the last sample, or after `steps`."""
    counted = looks[-1].step + 1 if looks else 0
    return Telemetry(
        steps=counted if steps is None else steps, samples=looks, epochs=epochs, nonfinite=nonfinite
    )


def epoch(
    number: int, *, training: float = 0.2, validation: float = 0.3, accuracy: float | None = 0.9
) -> Epoch:
    """Return the end of an epoch."""
    return Epoch(
        epoch=number, training_loss=training, validation_loss=validation, validation_accuracy=accuracy
    )


def asked(rule: Rule, measured: Telemetry, known: TrialFacts) -> Finding | None:
    """Return what the rule finds, having checked that it is complete and a cause that the catalogue declares."""
    finding = rule(measured, known)
    if finding is not None:
        check_complete(finding)
        assert finding.cause in _DECLARED[rule], finding
    return finding


def found(rule: Rule, measured: Telemetry, known: TrialFacts) -> Finding:
    """Return what the rule finds, as `asked`, where it must find something."""
    finding = asked(rule, measured, known)
    assert finding is not None, f"{rule} is silent"
    return finding


def check_complete(finding: Finding) -> None:
    """Fail unless a finding has finite evidence, one sentence of remedy and suggestions that a study file takes."""
    assert 0 <= finding.confidence <= 1, finding
    assert finding.first_step >= 0, finding
    assert re.fullmatch(r"\w(?:[^.\n]|\.(?=\S))*\.", finding.remedy), finding
    assert all(math.isfinite(value) for value in finding.evidence.values()), finding
    assert finding.suggested.keys() <= STUDY_KEYS, finding
    numbers = [value for value in finding.suggested.values() if isinstance(value, float)]
    assert all(math.isfinite(number) for number in numbers), finding
