"""Mistakes made in the data on purpose."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from hpsearch.data.prepare import PreparedData, prepare
from hpsearch.study.spec import DataSpec, Fault, FaultName, Scale

Refused = Callable[[Callable[[], object]], str]


def prepared(
    source: str, name: FaultName | None, number: int | None = None, *, seed: int = 1, scale: Scale = "none"
) -> PreparedData:
    """Return `source` with a fault in it."""
    fault = None if name is None else Fault(name=name, number=number)
    spec = DataSpec(source=source, fault=fault, scale=scale)
    return prepare(spec, seed=seed, precision="float32", environment={})


@pytest.mark.parametrize(
    ("name", "wrong", "right"),
    [
        ("labels_shuffled", "training", "validation"),
        ("validation_labels_shuffled", "validation", "training"),
    ],
)
@pytest.mark.parametrize("source", ["digits", "diabetes"])
def test_targets_of_one_part_are_shuffled(source: str, name: FaultName, wrong: str, right: str) -> None:
    """One part has its own targets in another order, at chance; its inputs and the other part are untouched."""
    plain, faulty = prepared(source, None), prepared(source, name)
    for part in ("training", "validation"):
        np.testing.assert_array_equal(getattr(faulty, part).inputs, getattr(plain, part).inputs)
    np.testing.assert_array_equal(getattr(faulty, right).targets, getattr(plain, right).targets)
    before, after = getattr(plain, wrong).targets, getattr(faulty, wrong).targets
    np.testing.assert_array_equal(np.sort(after, axis=0), np.sort(before, axis=0))
    assert (after == before).mean() < 0.2
    assert faulty.class_counts == plain.class_counts
    assert faulty.fingerprint != plain.fingerprint


def test_the_shuffle_is_the_seeds() -> None:
    """Every worker has the same wrong data, another seed has others, and the sealed part is right."""
    first, again, other = (prepared("digits", "labels_shuffled", seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.training.targets, again.training.targets)
    assert first.fingerprint == again.fingerprint != other.fingerprint


@pytest.mark.parametrize(
    ("name", "number", "expected"),
    [
        ("integer_division", 5, lambda x: np.floor(x / 5)),
        ("integer_division", 17, lambda x: 0 * x),
        ("byte_product", 20, lambda x: (x.astype(np.uint8) * np.uint8(20)).astype(np.float64)),
        ("constant_inputs", None, None),
    ],
)
@pytest.mark.parametrize("part", ["training", "validation"])
def test_inputs_are_spoiled_before_they_are_scaled(
    name: FaultName, number: int | None, expected: Callable[..., object] | None, part: str
) -> None:
    """Integer division and bytes that wrap are those of NumPy; constant inputs are the first example's."""
    plain, faulty = getattr(prepared("digits", None), part), getattr(prepared("digits", name, number), part)
    if expected is None:
        assert (faulty.inputs == faulty.inputs[0]).all()
        assert faulty.inputs[0].any()
    else:
        np.testing.assert_array_equal(faulty.inputs, expected(plain.inputs))
    np.testing.assert_array_equal(faulty.targets, plain.targets)


@pytest.mark.parametrize(("name", "number"), [("integer_division", 300), ("byte_product", 300)])
def test_bytes_stay_bytes(idx_folder: object, name: FaultName, number: int) -> None:
    """Numbers beyond a byte neither overflow nor widen the pictures; the sealed part is spoiled alike."""
    plain, faulty = prepared(str(idx_folder), None), prepared(str(idx_folder), name, number)
    assert plain.test is not None
    assert faulty.test is not None
    for before, after in ((plain.training, faulty.training), (plain.test, faulty.test)):
        whole = before.inputs.astype(np.int64)
        wrong = whole // number if name == "integer_division" else whole * number % 256
        np.testing.assert_array_equal(after.inputs, wrong)


def test_a_sealed_part_that_validates_is_shuffled(idx_folder: object) -> None:
    """If the source's own part validates, it is the one with shuffled labels."""
    spec = DataSpec(source=str(idx_folder), sealed="validation")
    wrong = replace(spec, fault=Fault(name="validation_labels_shuffled"))
    plain, faulty = (prepare(s, seed=3, precision="float32", environment={}) for s in (spec, wrong))
    np.testing.assert_array_equal(faulty.training.targets, plain.training.targets)
    assert faulty.validation.targets.tolist() != plain.validation.targets.tolist()
    assert sorted(faulty.validation.targets) == sorted(plain.validation.targets)
    assert faulty.fingerprint != plain.fingerprint


def test_a_constant_picture_is_the_sealed_parts_too(idx_folder: object) -> None:
    """Constant inputs are constant in the test part too."""
    faulty = prepared(str(idx_folder), "constant_inputs")
    assert faulty.test is not None
    assert (faulty.test.inputs == faulty.training.inputs[0]).all()


@pytest.mark.parametrize(
    ("source", "name", "kind", "got"),
    [
        ("iris", "integer_division", "whole numbers", "5.1 in iris, as it comes with scikit-learn"),
        ("d.npz", "byte_product", "whole numbers from 0 to 255", "256.0 in d.npz"),
    ],
)
def test_inputs_that_it_cannot_be_made_in_are_refused(
    refused: Refused, source: str, name: FaultName, kind: str, got: str
) -> None:
    """A fault of whole numbers or bytes needs inputs that are such."""
    np.savez("d.npz", x=np.arange(249.0, 258.0), y=np.arange(9) % 2)
    assert refused(lambda: prepared(source, name, 2)) == (
        f"data.fault: {name} needs inputs that are {kind} (got {got}):"
        " choose a source that has them, such as digits or mnist"
    )
