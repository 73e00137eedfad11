"""Scaling of a regression's targets."""

import numpy as np
import pytest

from hpsearch.data.dataset import RawData, dataset_from
from hpsearch.data.prepare import PreparedData, joined_parts, prepare, prepare_dataset
from hpsearch.data.target_scaling import UNSCALED, fit_targets
from hpsearch.errors import DataError
from hpsearch.study.spec import DataSpec, Precision, TargetScale

ROWS = np.arange(4)


def _prepared(
    targets: object, *, scale: TargetScale = "standard", precision: Precision = "float32"
) -> PreparedData:
    values = np.asarray(targets, np.float64)
    inputs = np.arange(2.0 * len(values)).reshape(-1, 2)
    raw = RawData(inputs=inputs, targets=values, where="made.npz", origin="made.npz")
    spec = DataSpec(source="made.npz", task="regression", target_scale=scale)
    return prepare_dataset(
        dataset_from(raw, name="made", task="regression"), spec, seed=1, precision=precision
    )


def test_targets_are_standardized_by_default() -> None:
    """The training part has mean 0 and deviation 1; every part keeps its numbers in the user's unit."""
    data = prepare(
        DataSpec(source="diabetes", test_fraction=0.1), seed=1, precision="float64", environment={}
    )
    assert data.training.targets.mean() == pytest.approx(0, abs=1e-12)
    assert data.training.targets.std() == pytest.approx(1, rel=1e-12)
    assert data.test is not None
    for fold in (data.training, data.validation, data.test):
        assert fold.values is not None
        assert data.target_scaling.restore(fold.targets) == pytest.approx(fold.values, rel=1e-12)
    assert data.validation.targets.mean() != 0


def test_only_the_training_part_fits_the_scaling() -> None:
    """Other rows have no influence, and each output has its own numbers."""
    targets = np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0], [4.0, 40.0], [1e6, 1e6]])
    scaling = fit_targets(targets, ROWS, kind="standard", where="here")
    assert scaling.offset.tolist() == [2.5, 25.0]
    assert scaling.divisor == pytest.approx(np.std([[1, 10], [2, 20], [3, 30], [4, 40]], axis=0))


def test_none_leaves_targets_and_fingerprint_alone() -> None:
    """Studies of before the key find their data: unscaled targets do not change the fingerprint, scaled ones do."""
    plain, scaled = (
        prepare(DataSpec(source="diabetes", target_scale=kind), seed=1, precision="float32", environment={})
        for kind in ("none", "standard")
    )
    assert plain.target_scaling is UNSCALED
    assert plain.fingerprint == "c983f61336823451f48556292680ad92"  # as hpsearch 0.2 computed it
    assert scaled.fingerprint != plain.fingerprint
    classes = [
        prepare(DataSpec(source="iris", target_scale=kind), seed=1, precision="float32", environment={})
        for kind in ("none", "standard")
    ]
    assert classes[0].fingerprint == classes[1].fingerprint


def test_joined_parts_keep_the_scaling() -> None:
    """Training on all examples has the values of both parts, scaled as before."""
    data = _prepared(np.arange(20.0) * 1e5)
    joined = joined_parts(data)
    assert joined.training.values is not None
    assert joined.target_scaling.restore(joined.training.targets) == pytest.approx(
        joined.training.values, abs=1.0
    )


@pytest.mark.parametrize(
    ("targets", "scale", "message"),
    [
        (
            np.r_[np.full(19, 5.0), 6.0],
            "standard",
            r"npz: targets must differ in the training part \(got 5 in all",
        ),
        (np.full((20, 2), [[1.0, 2.0]]) + np.arange(20.0)[:, None] * [0, 1], "standard", "for output 1 of 2"),
        (np.linspace(1, 9, 20) * 1e307, "standard", "must have a mean and a deviation that are numbers"),
        (
            np.linspace(1, 9, 20) * 1e300,
            "none",
            r'must fit float32 after scaling .* data.target_scale = "none"',
        ),
    ],
)
def test_targets_that_cannot_be_scaled(
    targets: np.ndarray[tuple[int, ...], np.dtype[np.float64]], scale: TargetScale, message: str
) -> None:
    """Constant outputs and numbers too large name the data, the numbers and a remedy."""
    with pytest.raises(DataError, match=message):
        _prepared(targets, scale=scale)
