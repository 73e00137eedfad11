"""Scaling, fitted on the training part only."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from hpsearch.data.scaling import apply, fit
from hpsearch.study.spec import Precision, Scale

_TABLES = arrays(
    np.float64, st.tuples(st.integers(2, 20), st.integers(1, 5)), elements=st.floats(-1e6, 1e6, width=32)
)


def _all(inputs: NDArray[np.generic]) -> NDArray[np.int64]:
    return np.arange(len(inputs))


@given(_TABLES)
def test_unit_maps_each_column_to_0_and_1(inputs: NDArray[np.float64]) -> None:
    """Each column's least number becomes 0 and its greatest 1; constant columns become 0."""
    scaling = fit(inputs, _all(inputs), kind="unit", is_image=False)
    scaled = apply(scaling, inputs, _all(inputs), precision="float64")
    varies = inputs.min(axis=0) < inputs.max(axis=0)
    assert np.all(scaled.min(axis=0) == 0)
    np.testing.assert_array_equal(scaled.max(axis=0), varies.astype(float))


@given(_TABLES)
def test_standard_gives_mean_0_and_deviation_1(inputs: NDArray[np.float64]) -> None:
    """Each column gets mean 0 and standard deviation 1, as NumPy computes them; constant columns become 0."""
    scaled = apply(
        fit(inputs, _all(inputs), kind="standard", is_image=False), inputs, _all(inputs), precision="float64"
    )
    varies = inputs.min(axis=0) < inputs.max(axis=0)
    assert np.all(scaled[:, ~varies] == 0)
    spread = np.ptp(inputs, axis=0)
    tame = varies & (spread > 1e-3 * np.abs(inputs).max(axis=0))
    np.testing.assert_allclose(scaled[:, tame].mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(scaled[:, tame].std(axis=0), 1, rtol=1e-9)


@given(
    inputs=_TABLES,
    kind=st.sampled_from(["unit", "standard"]),
    is_image=st.booleans(),
    change=st.integers(1, 99),
)
def test_only_fitted_rows_count(
    inputs: NDArray[np.float64], kind: Scale, *, is_image: bool, change: int
) -> None:
    """Changing a row that was not fitted changes nothing in the scaling."""
    rows = _all(inputs)[1:]
    other = inputs.copy()
    other[0] += change * 1e3
    before, after = (fit(table, rows, kind=kind, is_image=is_image) for table in (inputs, other))
    np.testing.assert_array_equal(before.offset, after.offset)
    np.testing.assert_array_equal(before.divisor, after.divisor)


def test_images_share_one_range() -> None:
    """All inputs of an image have one scale, so that pixels keep their relation."""
    images = np.array([[0, 100], [50, 200]], dtype=np.uint8)
    unit = apply(
        fit(images, _all(images), kind="unit", is_image=True), images, _all(images), precision="float64"
    )
    np.testing.assert_array_equal(unit, images / 200)
    scaling = fit(images, _all(images), kind="standard", is_image=True)
    assert (scaling.offset, scaling.divisor) == (images.mean(), images.std())


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_bytes_become_pixels_by_255(precision: Precision) -> None:
    """Bytes 0 to 255 become exactly what dividing by 255 in the study's precision gives."""
    pixels = np.arange(256, dtype=np.uint8)[:, None]
    scaled = apply(
        fit(pixels, _all(pixels), kind="unit", is_image=True), pixels, _all(pixels), precision=precision
    )
    np.testing.assert_array_equal(scaled, pixels.astype(precision) / np.array(255, precision), strict=True)


@given(st.floats(-1e6, 1e6), st.sampled_from(["unit", "standard"]))
def test_a_constant_column_is_0_everywhere(value: float, kind: Scale) -> None:
    """A column that is constant in the training part becomes 0 in every part."""
    inputs = np.array([[value], [value], [value], [value + 1]])
    scaled = apply(
        fit(inputs, _all(inputs)[:3], kind=kind, is_image=False), inputs, _all(inputs), precision="float32"
    )
    assert not scaled.any()


def test_nothing_is_clipped() -> None:
    """Rows that were not fitted may lie outside 0..1."""
    inputs = np.array([[0.0], [10.0], [-5.0], [20.0]])
    scaled = apply(
        fit(inputs, np.arange(2), kind="unit", is_image=False), inputs, _all(inputs), precision="float64"
    )
    assert scaled.ravel().tolist() == [0, 1, -0.5, 2]


def test_none_only_casts() -> None:
    """Without scaling the numbers are the source's."""
    inputs = np.array([[3, 200]], dtype=np.uint8)
    scaled = apply(
        fit(inputs, _all(inputs), kind="none", is_image=True), inputs, _all(inputs), precision="float32"
    )
    np.testing.assert_array_equal(scaled, np.array([[3, 200]], np.float32), strict=True)


@pytest.mark.parametrize("kind", ["unit", "standard", "none"])
def test_rows_are_taken_in_their_order_whatever_the_blocks(kind: Scale) -> None:
    """More rows than one block give what one block gives, C-contiguous and in the order asked for."""
    random = np.random.Generator(np.random.PCG64(1))
    inputs = random.normal(size=(700, 1000))
    rows = random.permutation(700)[:600]
    scaling = fit(inputs, rows, kind=kind, is_image=False)
    scaled = apply(scaling, inputs, rows, precision="float32")
    assert scaled.flags.c_contiguous
    taken = inputs[rows]
    expected = {
        "unit": (taken - taken.min(axis=0)) / np.ptp(taken, axis=0),
        "standard": (taken - taken.mean(axis=0)) / taken.std(axis=0),
        "none": taken,
    }[kind]
    np.testing.assert_allclose(scaled, expected, rtol=1e-6, atol=1e-6)


def test_numbers_that_do_not_fit_are_an_error() -> None:
    """A number beyond float32 does not silently become infinite."""
    inputs = np.array([[1e300], [0.0]])
    scaling = fit(inputs, _all(inputs), kind="none", is_image=False)
    with pytest.raises(FloatingPointError):
        apply(scaling, inputs, _all(inputs), precision="float32")
    with pytest.raises(FloatingPointError):
        fit(np.array([[1.7e308], [-1.7e308]]), np.arange(2), kind="unit", is_image=False)
    with pytest.raises(FloatingPointError):
        fit(inputs, _all(inputs), kind="standard", is_image=False)
