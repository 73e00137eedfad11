"""The number of trials that a cohort trains at once."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.training.cohort import Cohort
from hpsearch.training.row import shape_of
from hpsearch.worker.capacity import LEAST_ROWS, MOST_ROWS, cohort_capacity, row_bytes, rows_in_flight
from tests.training.cases import classification, configuration


def arrays(thing: Any) -> Iterator[np.ndarray[Any, Any]]:
    """Yield the arrays in nested records and tuples."""
    if isinstance(thing, np.ndarray):
        yield thing
    elif isinstance(thing, tuple | list):
        for item in thing:
            yield from arrays(item)
    elif is_dataclass(thing):
        for field in fields(thing):
            yield from arrays(getattr(thing, field.name))


def size_bytes(thing: Any) -> int:
    """Return the memory that the arrays in `thing` own, each base counted once."""
    bases = {}
    for array in arrays(thing):
        owner = array if array.base is None else array.base
        bases[id(owner)] = owner.nbytes
    return sum(bases.values())


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"hidden": (50, 30), "batch_size": 100, "optimizer": "momentum"},
        {"hidden": (50, 30), "batch_size": 100, "order": "once"},
        {"hidden": (50, 30), "batch_size": 100, "batch_norm": True, "optimizer": "adam"},
        {"hidden": (50,), "batch_size": 100, "dropout": 0.5, "precision": "float64"},
        {"hidden": (50,) * 5, "batch_size": 100, "skip_connections": True},
        {"hidden": (50,) * 5, "batch_size": 100, "dropout": 0.5, "dropout_layers": "last"},
    ],
    ids=str,
)
def test_row_bytes_are_those_of_a_step(values: dict[str, Any]) -> None:
    """The memory of a row is, to a tenth, that of the arrays that a cohort allocates for its steps.

    Without the minibatch if all rows share it.
    """
    data = classification(training=200, inputs=64, precision=values.get("precision", "float32"))
    chosen = configuration(**values)
    cohort = Cohort(shape_of(chosen), data, capacity=4, seed=0)
    work = cohort._workspace
    own = [cohort._state, work._gradient, work._scratch, work._output_scratch, work._blocks]
    owned = size_bytes(own if len(work._x) == 1 else [*own, work._x, work._t])
    assert row_bytes(cohort.network, chosen.training) == pytest.approx(owned / 4, rel=0.1)


@given(st.integers(1, 2**40), st.integers(1, 2**40))
def test_a_cohort_has_8_to_32_rows(bytes_per_row: int, cache_bytes: int) -> None:
    """A cohort fills the cache if that takes 8 to 32 rows; otherwise it has 8 or 32."""
    rows = cohort_capacity(bytes_per_row, cache_bytes=cache_bytes)
    assert LEAST_ROWS <= rows <= MOST_ROWS
    if rows > LEAST_ROWS:
        assert rows * bytes_per_row <= cache_bytes
    if rows < MOST_ROWS:
        assert (rows + 1) * bytes_per_row > cache_bytes


@given(st.integers(1, 10**6), st.integers(1, 1000))
def test_a_tenth_of_the_budget_is_in_flight(budget: int, workers: int) -> None:
    """All workers together train at most a tenth of the budget at once, and each at least one trial."""
    rows = rows_in_flight(budget, workers=workers)
    assert rows >= 1
    assert rows == 1 or rows * workers <= budget / 10
    assert (rows + 1) * workers > budget // 10


@pytest.mark.parametrize(
    ("budget", "workers", "rows"), [(200, 2, 10), (100, 1, 10), (5, 4, 1), (1000, 3, 33)]
)
def test_rows_in_flight(budget: int, workers: int, rows: int) -> None:
    """For 200 trials and two workers these are ten rows each."""
    assert rows_in_flight(budget, workers=workers) == rows
