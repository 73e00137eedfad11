"""Remedies that fit a trial's configuration: nothing is proposed that is set already."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, final

from hpsearch.diagnosis.facts import TrialFacts
from hpsearch.trials import ParameterValue
from hpsearch.verdicts import Finding

NARROW: Final = 8
WIDE: Final = 32
FEW_LAYERS: Final = 2
RECTIFIERS: Final = frozenset({"relu", "leaky_relu", "elu", "selu", "gelu", "silu"})


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Remedy:
    """A remedy in words, without a full stop, and its values by the names of study keys; no values if it has none."""

    text: str
    suggested: Mapping[str, ParameterValue]


def initial_weights(facts: TrialFacts, *, keeps_activation: bool = False) -> Remedy:
    """Return the remedy for a signal that vanishes, explodes or saturates at the first step.

    The first of these that is not set: the initializer of the activation's kind (if it `keeps_activation`, or it is a
    rectifier), ReLU, batch normalization, and fewer layers.
    """
    model = facts.configuration.model
    is_rectifier = model.activation in RECTIFIERS
    own = "he" if is_rectifier else "xavier"
    if model.initializer.name != own and (is_rectifier or keeps_activation):
        return Remedy(
            text=f'draw initial weights with model.initializer = "{own}"',
            suggested={"model.initializer": own},
        )
    if not is_rectifier:
        return Remedy(
            text='use model.activation = "relu" with model.initializer = "he"',
            suggested={"model.activation": "relu", "model.initializer": "he"},
        )
    if not model.batch_norm:
        return Remedy(text="use model.batch_norm = true", suggested={"model.batch_norm": True})
    return wider_layers(facts)


def wider_layers(facts: TrialFacts) -> Remedy:
    """Return the remedy for layers that are too narrow or too many: at most two, of 32 units at least."""
    better = [max(width, WIDE) for width in facts.configuration.model.hidden[:FEW_LAYERS]]
    text = json.dumps(better, separators=(",", ":"))
    fewer = "fewer and " if len(facts.configuration.model.hidden) > FEW_LAYERS else ""
    return Remedy(
        text=f"use {fewer}wider layers, such as model.hidden = {text}", suggested={"model.hidden": text}
    )


def is_narrow(facts: TrialFacts) -> bool:
    """Return True if a hidden layer has fewer than eight units, few of which may all be silent by chance."""
    return min(facts.configuration.model.hidden, default=NARROW) < NARROW


def scaled_inputs(facts: TrialFacts) -> Mapping[str, ParameterValue]:
    """Return the setting that scales inputs; none if they are scaled already."""
    return {} if facts.scale == "standard" else {"data.scale": "standard"}


def fitting(finding: Finding, facts: TrialFacts) -> Finding:
    """Return the finding without suggested values that the trial has already."""
    configuration = facts.configuration
    sections = {"model": configuration.model, "training": configuration.training}

    def is_set(name: str, value: ParameterValue) -> bool:
        section, _, key = name.rpartition(".")
        if name == "data.scale":
            return value == facts.scale
        now = getattr(sections.get(section or "training"), key, None)
        if key == "initializer":
            now = getattr(now, "name", None)
        if key == "hidden" and now is not None:
            now = json.dumps(list(now), separators=(",", ":"))
        return bool(now == value)

    kept = {name: value for name, value in finding.suggested.items() if not is_set(name, value)}
    return finding if len(kept) == len(finding.suggested) else replace(finding, suggested=kept)
