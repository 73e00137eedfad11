"""Conditional dimensions: what a condition may name, and which dimensions a trial has."""

import tomllib
from typing import Any

import pytest

from hpsearch.errors import UsageError
from hpsearch.study.conditions import missing_names, parents_first, reachable
from hpsearch.study.json_form import spec_from_json, spec_problems, spec_to_json
from hpsearch.study.plan import dimension_in_words
from hpsearch.study.reader import parse_study
from hpsearch.study.search_space import search_problems, search_space
from hpsearch.study.spec import Choices, Range, StudySpec
from hpsearch.study.writer import specification_text

OBJECTIVE = """
name = "mine"
[objective]
function = "train:objective"
[search]
schedule = { choices = ["step", "none"], when = { optimizer = ["sgd", "nesterov"] } }
lr = { low = 1e-4, high = 1.0, log = true }
optimizer = { choices = ["sgd", "nesterov", "adam"] }
step_size = { low = 1, high = 50, when = { schedule = "step", optimizer = "sgd" } }
"""


def objective() -> StudySpec:
    """Return the study of `OBJECTIVE`."""
    return parse_study(OBJECTIVE, source="mine.toml")


WRONG = [
    (
        'when = { optimiser = "sgd" }',
        'when.optimiser: must be a dimension of [search] (got "sgd"): did you mean',
    ),
    (
        "when = { optimizer = 1 }",
        'when.optimizer: must be a value of optimizer, one of "sgd", "adam" (got 1)',
    ),
    ('when = { optimizer = ["sgd", "x"] }', 'one of "sgd", "adam" (got "x")'),
    ("when = { lr = 0.1 }", "when.lr: must be a dimension with choices or whole numbers"),
    ("when = { layers = 4 }", "when.layers: must be a value of layers, 1 to 3 (got 4)"),
    ("when = { layers = true }", "when.layers: must be a value of layers, 1 to 3 (got true)"),
    ("when = { it = 1 }", "when: must not depend on itself (got it -> it): leave one condition out"),
    ('when = "sgd"', "when: must be a table of conditions"),
    ("when = {}", "when: must be a table of conditions"),
    ("when = { optimizer = [] }", "when.optimizer: must be a value, or a list of values (got [])"),
    (
        'when = { beta = 1, optimizer = "sgd" }',
        "when: must be possible: its parents need other values of optimizer",
    ),
]


@pytest.mark.parametrize(("condition", "message"), WRONG)
def test_a_wrong_condition_has_one_problem(condition: str, message: str) -> None:
    """A condition names values that its parents can have, and leads to no circle and no contradiction."""
    text = f"""
    name = "mine"
    [objective]
    function = "train:objective"
    [search]
    lr = {{ low = 1e-4, high = 1.0 }}
    optimizer = {{ choices = ["sgd", "adam"] }}
    layers = {{ low = 1, high = 3 }}
    beta = {{ choices = [1, 2], when = {{ optimizer = "adam" }} }}
    it = {{ choices = [1, 2], {condition} }}
    """
    with pytest.raises(Exception, match="1 problem") as raised:
        parse_study(text, source="mine.toml")
    assert message in str(raised.value)
    assert "search.it.when" in str(raised.value)


def test_all_wrong_conditions_are_reported_at_once() -> None:
    """A problem of one dimension hides none of another, and a circle is named once."""
    raw: dict[str, Any] = tomllib.loads("""
    momentum = { low = 0.9, high = 0.5, when = { training.optimizer = "sgd" } }
    weight_decay = { low = 0.1, high = 0.5, when = { training.optimiser = "sgd", momentum = 0.5 } }
    training.epochs = { low = 1, high = 5, when = { training.batch_size = 8 } }
    training.batch_size = { choices = [8, 16], when = { training.epochs = 2 } }
    training.optimizer = { choices = ["sgd", "adam"] }
    """)
    assert [problem.where for problem in search_problems(raw)] == [
        "search.momentum.low",
        "search.weight_decay.when.training.optimiser",
        "search.training.epochs.when",
    ]


def test_a_trial_has_the_dimensions_whose_conditions_hold() -> None:
    """All parents must have one of the values, and a parent that is absent has none."""
    space = objective().search
    assert missing_names(space, {"optimizer": "adam", "lr": 0.1}) == []
    assert missing_names(space, {"optimizer": "sgd", "lr": 0.1}) == ["schedule"]
    assert missing_names(space, {"optimizer": "sgd", "schedule": "step"}) == ["lr", "step_size"]
    assert missing_names(space, {"optimizer": "nesterov", "schedule": "step", "lr": 0.1}) == []
    names = [each.name for each in parents_first(space)]
    assert names.index("optimizer") < names.index("schedule") < names.index("step_size")


def test_conditions_survive_every_form_of_a_study() -> None:
    """JSON, a study file and Python hold the same conditions, and studies without any are stored as before."""
    spec = objective()
    assert spec_from_json(spec_to_json(spec)) == spec
    assert spec_problems(spec_to_json(spec)) == []
    assert parse_study(specification_text(spec), source="again").search == spec.search
    assert (
        Choices(["step", "none"], name="schedule", when={"optimizer": ["sgd", "nesterov"]}) == spec.search[0]
    )
    assert Range(1, 50, integer=True, name="step_size", when=spec.search[3].when) == spec.search[3]
    assert spec_to_json(spec).count('"when"') == 2
    assert (
        dimension_in_words(spec.search[3]) == "step_size: 1 to 50, if schedule is step and optimizer is sgd"
    )
    with pytest.raises(UsageError, match="when: must map names to values"):
        Range(0, 1, when="sgd")  # type: ignore[arg-type]


def test_a_network_field_is_named_as_in_search() -> None:
    """Conditions on fields of the built-in network take the names and values of [search]."""
    raw = tomllib.loads("""
    model.hidden = { choices = [[32], [64, 64]] }
    model.dropout = { low = 0.0, high = 0.5, when = { model.hidden = [[64, 64]] } }
    """)
    assert search_problems(raw) == []
    assert search_space(raw)[1].when == (("model.hidden", ("[64, 64]",)),)


def test_what_no_trial_can_have_is_removed() -> None:
    """Without a choice, conditions on it and dimensions that depend on it alone are gone."""
    space = objective().search
    optimizer = Choices(["nesterov", "adam"], name="optimizer")
    left = reachable([optimizer if each.name == "optimizer" else each for each in space])
    assert [each.name for each in left] == ["schedule", "lr", "optimizer"]
    assert left[0].when == (("optimizer", ("nesterov",)),)
