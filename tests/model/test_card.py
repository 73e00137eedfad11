"""The model card: an interval with its examples, the use, the limits, and every setting."""

from dataclasses import fields, replace
from typing import Any

import pytest
from scipy.stats import binomtest

from hpsearch.model.card import model_card
from hpsearch.model.trained_model import TrainedModel
from hpsearch.study.spec import ModelSpec, TrainingSpec


def sections(card: str) -> dict[str, str]:
    """Return the text of each section by its title."""
    parts = card.split("\n## ")[1:]
    return {part.split("\n")[0]: part for part in parts}


def test_the_accuracy_has_an_interval_and_its_examples(flowers: TrainedModel) -> None:
    """It is the exact interval of the share of right answers."""
    accuracy, examples = flowers.result.validation_accuracy, flowers.result.validation_examples
    assert accuracy is not None
    own = binomtest(round(accuracy * examples), examples).proportion_ci(0.95, "exact")
    head = model_card(flowers).split("\n## ")[0]
    assert f"is {accuracy:.3f}, measured on {examples} examples" in head
    assert f"the 95 % interval is {own.low:.3f} to {own.high:.3f}." in head


def test_every_setting_and_version_is_listed(flowers: TrainedModel) -> None:
    """Each field of the network and of its training has a row, and so have data, fingerprint and versions."""
    found = sections(model_card(flowers))
    for section, spec in (("model", ModelSpec), ("training", TrainingSpec)):
        for field in fields(spec):
            name = f"{section}.{field.name}".replace("_", r"\_")
            assert f"| {name} | " in found["Hyperparameters"]
    for text in (flowers.fingerprint, flowers.versions["numpy"], flowers.versions["hpsearch"]):
        assert text in found["Data and versions"]
    assert "hpsearch.load_model" in found["Use"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [({"trained_on": "all"}, "trained on the validation part too"), ({"is_verified": False}, "differs from")],
)
def test_the_limits_are_those_of_the_model(
    change: dict[str, Any], sentence: str, flowers: TrainedModel
) -> None:
    """Weights that nothing measured, and trainings that differ, are named in their own sentence."""
    assert sentence not in sections(model_card(flowers))["Limits"]
    changed = replace(flowers, result=replace(flowers.result, **change))
    assert sentence in sections(model_card(changed))["Limits"]


def test_names_cannot_add_markup(flowers: TrainedModel) -> None:
    """Names of studies and classes are text in a cell, with their marks escaped."""
    spec = replace(flowers.spec, name="a | b\n# c")
    card = model_card(replace(flowers, spec=spec, classes=("<b>", "x|y", "z")))
    assert r"# Model of a \| b # c, trial" in card
    assert r"| classes | \<b\>, x\|y, z |" in card
