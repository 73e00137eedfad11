"""The search space in Optuna's terms."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from hpsearch.search.space import distributions, grid, grid_size, internal_value, values_inside
from hpsearch.study.spec import Choices, DataSpec, Range, SamplerSpec, StudySpec

RATE = Range(name="learning_rate", low=1e-6, high=1.0, log=True)
WIDTHS = Choices(name="model.hidden", choices=("[64]", "[64, 32]"))


def searching(*dimensions: Range | Choices, points: int = 10) -> StudySpec:
    """Return a study that searches `dimensions`."""
    return StudySpec(
        name="toy",
        data=DataSpec(source="digits"),
        search=dimensions,
        sampler=SamplerSpec(name="grid", points=points),
    )


def test_each_dimension_becomes_its_distribution() -> None:
    """Ranges are Float or Int distributions, choices are categorical, in the order of the study."""
    batch = Range(name="training.batch_size", low=16, high=256, log=True, integer=True)
    dropout = Range(name="model.dropout", low=0.0, high=0.5, step=0.1)
    space = distributions(searching(WIDTHS, RATE, batch, dropout))
    assert space == {
        "model.hidden": CategoricalDistribution(("[64]", "[64, 32]")),
        "learning_rate": FloatDistribution(1e-6, 1.0, log=True),
        "training.batch_size": IntDistribution(16, 256, log=True),
        "model.dropout": FloatDistribution(0.0, 0.5, step=0.1),
    }
    assert list(space) == ["model.hidden", "learning_rate", "training.batch_size", "model.dropout"]


@pytest.mark.parametrize(
    ("dimension", "high"),
    [
        (Range(name="a", low=0.0, high=1.0, step=0.3), 0.9),
        (Range(name="a", low=1, high=10, step=4, integer=True), 9),
    ],
)
def test_a_step_that_does_not_divide_its_range_ends_it_early(dimension: Range, high: float) -> None:
    """Such a range ends where Optuna's does, without Optuna's warning."""
    distribution = distributions(searching(dimension))["a"]
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    assert distribution.high == high


@pytest.mark.parametrize(
    ("dimension", "values"),
    [
        (Range(name="a", low=0.0, high=1.0), [0.0, 0.25, 0.5, 0.75, 1.0]),
        (Range(name="a", low=1e-4, high=1.0, log=True), [1e-4, 1e-3, 1e-2, 1e-1, 1.0]),
        (Range(name="a", low=0.0, high=0.3, step=0.1), [0.0, 0.1, 0.2, 0.3]),
        (Range(name="a", low=0.0, high=8.0, step=1.0), [0.0, 2.0, 4.0, 6.0, 8.0]),
        (Range(name="a", low=1, high=3, integer=True), [1, 2, 3]),
        (Range(name="a", low=1, high=16, log=True, integer=True), [1, 2, 4, 8, 16]),
        (Range(name="a", low=0.5, high=0.5), [0.5]),
        (Choices(name="a", choices=("relu", 3, True)), ["relu", 3, True]),
    ],
)
def test_grid_points_follow_scale_step_and_kind(dimension: Range | Choices, values: list[object]) -> None:
    """A range has at most `points` values from end to end, on its own scale and steps."""
    points = grid(searching(dimension, points=5))["a"]
    assert points == pytest.approx(values)
    assert [type(point) for point in points] == [type(value) for value in values]


@st.composite
def ranges(draw: st.DrawFn) -> Range:
    """Return any range that a study file may have."""
    low, width = draw(st.floats(1e-8, 1.0)), draw(st.floats(1.0, 1e4))
    log, integer = draw(st.booleans()), draw(st.booleans())
    step = None if log else draw(st.none() | st.floats(0.01, 2.0))
    if integer:
        low, width, step = 1 + round(low), round(width), None if step is None else 1 + round(step)
    return Range(name="a", low=low, high=low + width, log=log, step=step, integer=integer)


@given(ranges(), st.integers(1, 12))
def test_every_grid_point_lies_inside_its_distribution(dimension: Range, points: int) -> None:
    """No rounding moves a point of the grid out of its range or off its steps."""
    spec = searching(dimension, points=points)
    values = grid(spec)["a"]
    assert 1 <= len(values) == len(set(values)) <= points
    assert all(internal_value(distributions(spec)["a"], value) is not None for value in values)


def test_the_grid_has_every_combination() -> None:
    """The size of a grid is the product of its parameters' points."""
    assert grid_size(searching(RATE, WIDTHS, points=7)) == 14


def test_values_outside_the_space_are_omitted() -> None:
    """Unknown names, other types, NaN and values beyond the range are omitted."""
    space = distributions(searching(RATE, WIDTHS))
    inside = values_inside(space, {"model.hidden": "[64]", "learning_rate": 1, "momentum": 0.9})
    assert inside == {"learning_rate": 1.0, "model.hidden": "[64]"}
    assert isinstance(inside["learning_rate"], float)
    assert values_inside(space, {"model.hidden": "[128]", "learning_rate": 2.0}) == {}
    assert values_inside(space, {"model.hidden": 64, "learning_rate": "fast"}) == {}
    assert values_inside(space, {"learning_rate": float("nan")}) == {}
