"""Bounds of ranges: their text, and which edits are possible."""

from dataclasses import replace

import pytest

from hpsearch.errors import UsageError
from hpsearch.study.ranges import checked_bounds, edited_ranges, parse_bounds
from hpsearch.study.spec import Choices, DataSpec, Range, SamplerSpec, StudySpec

SPEC = StudySpec(
    name="lesson",
    data=DataSpec(source="iris"),
    search=(
        Range(name="learning_rate", low=1e-6, high=1.0, log=True),
        Range(name="training.batch_size", low=16, high=64, integer=True),
        Choices(name="model.activation", choices=("relu", "tanh")),
    ),
)


def test_an_empty_bound_stays() -> None:
    """`NAME=LOW:` changes one end; full and short names mean the same range; equal bounds are no edit."""
    bounds = parse_bounds(["training.learning_rate=1e-3:", "training.batch_size=:32"])
    assert edited_ranges(SPEC, bounds) == {
        "learning_rate": Range(name="learning_rate", low=1e-3, high=1.0, log=True),
        "training.batch_size": Range(name="training.batch_size", low=16, high=32, integer=True),
    }
    assert edited_ranges(SPEC, {"learning_rate": (1e-6, 1.0)}) == {}


def test_an_edit_keeps_the_condition() -> None:
    """A conditional range stays conditional."""
    momentum = Range(name="momentum", low=0.5, high=0.99, when={"optimizer": "sgd"})
    spec = replace(SPEC, search=(Choices(name="optimizer", choices=("sgd", "adam")), momentum))
    assert edited_ranges(spec, {"momentum": (0.8, None)}) == {"momentum": replace(momentum, low=0.8)}
    assert edited_ranges(spec, {"momentum": (0.5, None)}) == {}


def test_all_problems_come_together() -> None:
    """Unknown names, choices, values outside the field's rule: each is named with its remedy."""
    bounds = parse_bounds(
        ["rate=1:2", "model.activation=1:2", "learning_rate=0:1", "training.batch_size=1.5:128"]
    )
    with pytest.raises(UsageError) as caught:
        edited_ranges(SPEC, bounds)
    problems = str(caught.value).splitlines()
    assert "did you mean learning_rate?" in problems[0]
    assert "Optuna refuses other choices" in problems[1]
    assert problems[2] == "search.learning_rate.low: must be above 0 on a log scale (got 0.0)"
    assert problems[3].startswith("search.training.batch_size.high: must be at most 64")


def test_points_that_follow_from_ranges_are_fixed() -> None:
    """A grid's points would no longer be those that trials had."""
    grid = replace(SPEC, sampler=SamplerSpec(name="grid"))
    with pytest.raises(UsageError, match=r"must be sampled to be edited .got sampler.name = .grid."):
        edited_ranges(grid, {"learning_rate": (1e-3, None)})


@pytest.mark.parametrize(
    "text", ["learning_rate", "learning_rate=1", "=1:2", "learning_rate=a:b", "lr=1:2:3"]
)
def test_other_texts_are_refused(text: str) -> None:
    """The form of the option is part of the error."""
    with pytest.raises(UsageError, match=r"--range: must be NAME=LOW:HIGH"):
        parse_bounds([text])


def test_programs_pass_pairs() -> None:
    """Anything but two numbers or None is refused with its name."""
    assert checked_bounds({"a": (1, None)}) == {"a": (1, None)}
    with pytest.raises(UsageError, match="got 3 for 'b'"):
        checked_bounds({"a": (1, 2), "b": 3})
