"""The guarantees of a data set."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hpsearch.data.dataset import Dataset, RawData, SourceExamples, dataset_from

Refused = Callable[[Callable[[], object]], str]


def _checked(inputs: NDArray[Any], targets: NDArray[Any], **others: Any) -> Dataset:
    raw = RawData(inputs=inputs, targets=targets, where="x.npz", origin="x.npz", **others)
    return dataset_from(raw, name="x", task="auto")


def test_bytes_stay_bytes_and_other_numbers_become_float64() -> None:
    """Inputs are (N, I): uint8 as they are, any other kind as float64."""
    assert _checked(np.zeros((4, 2, 3), np.uint8), np.array([0, 1, 0, 1])).inputs.dtype == np.uint8
    for kind in (np.int16, np.float32, np.bool_, ">i4"):
        data = _checked(np.ones((4, 2, 3), kind), np.array([0, 1, 0, 1]))
        assert data.inputs.dtype == np.float64
        assert data.inputs.shape == (4, 6)


def test_one_input_is_one_column() -> None:
    """An array (N,) of inputs has one input per example."""
    assert _checked(np.arange(3.0), np.array([0, 1, 1])).inputs.shape == (3, 1)


def test_names_of_classes_come_from_the_source() -> None:
    """A source that names its classes 0, 1, ... gives the names, in the order of the numbers."""
    data = _checked(np.ones((3, 1)), np.array([1, 0, 1]), labels=("setosa", "virginica"))
    assert data.classes == ("setosa", "virginica")
    assert data.targets.tolist() == [1, 0, 1]


def test_a_sealed_part_shares_the_classes() -> None:
    """Targets of both parts index the same classes, which are those of both."""
    sealed = SourceExamples(inputs=np.ones((2, 1)), targets=np.array([7, 5]))
    data = _checked(np.ones((4, 1)), np.array([5, 6, 6, 7]), sealed=sealed)
    assert data.classes == ("5", "6", "7")
    assert data.targets.tolist() == [0, 1, 1, 2]
    assert data.sealed is not None
    assert data.sealed.targets.tolist() == [2, 0]


def test_not_finite_inputs_are_refused(refused: Refused) -> None:
    """The first number that is not finite is named by row and column, and all are counted."""
    inputs = np.ones((5, 3))
    inputs[3, 1], inputs[4, 0] = np.nan, -np.inf
    text = "inputs must be finite (got nan; 2 such in all): fill or drop these rows"
    targets = np.array([0, 1, 0, 1, 0])
    assert refused(lambda: _checked(inputs, targets)) == f"x.npz: row 4, column 2: {text}"
    named = refused(lambda: _checked(inputs, targets, features=("a", "b", "c")))
    assert named == f'x.npz: row 4, column "b": {text}'


def test_a_sealed_part_is_checked_too(refused: Refused) -> None:
    """A sealed part must be finite, and as wide as the other."""
    targets = np.array([0, 1])
    bad = SourceExamples(inputs=np.full((2, 1), np.nan), targets=targets)
    assert refused(lambda: _checked(np.ones((2, 1)), targets, sealed=bad)) == (
        "x.npz: row 1, column 1: inputs must be finite (got nan; 2 such in all): fill or drop these rows"
    )
    wide = SourceExamples(inputs=np.ones((2, 5)), targets=targets)
    assert refused(lambda: _checked(np.ones((2, 1)), targets, sealed=wide)) == (
        "x.npz: the test part must have as many inputs as the training part (got 5 and 1):"
        " take both from the same data set"
    )


def test_different_lengths_are_refused(refused: Refused) -> None:
    """Every example has one target."""
    remedy = "make them equally long"
    assert refused(lambda: _checked(np.ones((5, 2)), np.array([0, 1, 0]))) == (
        f"x.npz: there must be one target per example (got 5 examples and 3 targets): {remedy}"
    )
    assert refused(lambda: _checked(np.ones((5, 2)), np.array(1))) == (
        f"x.npz: there must be one target per example (got 5 examples and 0 targets): {remedy}"
    )


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), ()])
def test_no_numbers_are_refused(shape: tuple[int, ...], refused: Refused) -> None:
    """Data has at least one example with one input."""
    assert refused(lambda: _checked(np.ones(shape), np.ones(len(shape)))) == (
        f"x.npz: there must be at least one example with one input (got shape {shape}): give it data"
    )


def test_inputs_are_numbers(refused: Refused) -> None:
    """Text and complex numbers are no inputs."""
    assert refused(lambda: _checked(np.array(["a", "b"]), np.array([0, 1]))) == (
        "x.npz: inputs must be numbers (got dtype <U1): encode them as numbers"
    )
