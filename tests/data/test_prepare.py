"""Data as a worker trains on it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hpsearch.data.arrays import read_arrays
from hpsearch.data.dataset import dataset_from
from hpsearch.data.idx import write_idx
from hpsearch.data.prepare import PreparedData, prepare, prepare_dataset
from hpsearch.data.stored_arrays import store_arrays
from hpsearch.study.spec import DataSpec, Precision

Refused = Callable[[Callable[[], object]], str]


def _prepared(spec: DataSpec, *, seed: int = 1, precision: Precision = "float32") -> PreparedData:
    return prepare(spec, seed=seed, precision=precision, environment={})


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_digits(precision: Precision) -> None:
    """Digits are split 80/20, divided by 16, and in the study's precision."""
    data = _prepared(DataSpec(source="digits"), precision=precision)
    assert (data.task, data.inputs, data.outputs, data.test) == ("classification", 64, 10, None)
    assert data.training.inputs.shape == (1438, 64)
    assert data.validation.inputs.shape == (359, 64)
    assert data.training.inputs.dtype == precision
    assert data.training.inputs.flags.c_contiguous
    assert data.training.targets.dtype == np.int64
    assert data.class_counts == tuple(np.bincount(data.training.targets))
    assert set(np.unique(data.training.inputs * 16)) == set(range(17))
    assert data.origin == "digits, as it comes with scikit-learn"


def test_regression_keeps_its_targets() -> None:
    """Without a scale, targets of a regression are (N, 1) in the study's precision, and there are no classes."""
    data = _prepared(DataSpec(source="diabetes", test_fraction=0.1, scale="standard", target_scale="none"))
    assert (data.task, data.outputs, data.classes, data.class_counts) == ("regression", 1, (), ())
    assert data.training.targets.shape == (310, 1)
    assert data.training.targets.dtype == np.float32
    assert data.test is not None
    targets = np.concatenate([fold.targets for fold in (data.training, data.validation, data.test)])
    assert (len(targets), targets.min(), targets.max()) == (442, 25, 346)
    np.testing.assert_allclose(data.training.inputs.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(data.training.inputs.std(axis=0), 1, rtol=1e-5)


def test_several_targets_are_several_outputs() -> None:
    """Targets (N, O) give a network with O outputs."""
    np.savez("d.npz", x=np.ones((9, 2)), y=np.arange(27.0).reshape(9, 3))
    data = _prepared(DataSpec(source="d.npz"))
    assert (data.outputs, data.training.targets.shape) == (3, (7, 3))


def test_other_parts_do_not_influence_training() -> None:
    """Other values in the validation and test part leave the training part unchanged, to the last bit."""
    random = np.random.Generator(np.random.PCG64(2))
    inputs, targets = random.normal(size=(50, 3)), np.arange(50) % 2
    np.savez("a.npz", x=inputs, y=targets)
    spec = DataSpec(source="a.npz", test_fraction=0.1)
    first = _prepared(spec)
    trained = np.isin(inputs.astype(np.float32), _prepared(replace(spec, scale="none")).training.inputs)[:, 0]
    assert trained.sum() == 35
    inputs[~trained] = 1e6
    np.savez("b.npz", x=inputs, y=targets)
    second = _prepared(replace(spec, source="b.npz"))
    np.testing.assert_array_equal(second.training.inputs, first.training.inputs)
    np.testing.assert_array_equal(second.training.targets, first.training.targets)
    assert second.fingerprint != first.fingerprint


def test_a_sealed_part_is_the_test_part(idx_folder: Path) -> None:
    """Without a test fraction the source's sealed part is the test part, scaled as training is."""
    data = _prepared(DataSpec(source=str(idx_folder)))
    assert [len(f.targets) for f in (data.training, data.validation, data.test) if f] == [24, 6, 6]
    assert data.test is not None
    assert data.test.targets.tolist() == [0, 1, 2, 0, 1, 2]


def test_a_test_fraction_leaves_the_sealed_part_aside(idx_folder: Path) -> None:
    """With a test fraction all three parts come from the examples."""
    data = _prepared(DataSpec(source=str(idx_folder), test_fraction=0.1))
    assert [len(f.targets) for f in (data.training, data.validation, data.test) if f] == [21, 6, 3]


def test_the_same_numbers_have_the_same_fingerprint_wherever_they_are() -> None:
    """A table as CSV, as archive, under another name or path: one data set."""
    random = np.random.Generator(np.random.PCG64(2))
    inputs, targets = random.normal(size=(40, 3)), np.arange(40) % 2
    np.savez("a.npz", x=inputs, y=targets)
    Path("folder").mkdir()
    rows = [
        ",".join(map(repr, [*row, kind])) for row, kind in zip(inputs.tolist(), targets.tolist(), strict=True)
    ]
    for path in ("a.csv", "folder/b.csv"):
        Path(path).write_text("\n".join(["p,q,r,kind", *rows]), encoding="utf-8")
    names = {_prepared(DataSpec(source=path)).fingerprint for path in ("a.npz", "a.csv", "folder/b.csv")}
    assert len(names) == 1


def test_preparing_twice_gives_the_same() -> None:
    """The same study has the same data in every worker; another seed has other parts."""
    spec = DataSpec(source="wine", stratify=True)
    first, second, other = _prepared(spec), _prepared(spec), _prepared(spec, seed=2)
    np.testing.assert_array_equal(first.training.inputs, second.training.inputs)
    assert first.fingerprint == second.fingerprint != other.fingerprint


def test_a_rare_class_may_be_missing_in_training() -> None:
    """Without stratification a rare class may be missing from the training part; its count is then 0."""
    np.savez("d.npz", x=np.arange(40.0), y=np.r_[np.zeros(20), np.ones(19), 2])
    spec = DataSpec(source="d.npz", validation_fraction=0.5)
    counts = {_prepared(spec, seed=seed).class_counts[2] for seed in range(20)}
    assert counts == {0, 1}


def test_one_class_in_training_is_refused(refused: Refused) -> None:
    """Two classes at least are trained on; here seed 0 puts the only example of one into validation."""
    np.savez("d.npz", x=np.arange(4.0), y=np.array([0, 0, 0, 1]))
    spec = DataSpec(source="d.npz", validation_fraction=0.5)
    assert refused(lambda: _prepared(spec, seed=0)) == (
        'd.npz: the training part must have at least two classes (got "0" alone, in all 2 examples):'
        " set data.stratify = true, or bring more examples"
    )
    assert _prepared(spec, seed=1).class_counts == (1, 1)


def test_numbers_beyond_the_precision_are_refused(refused: Refused) -> None:
    """A number that float32 cannot hold is an error, not an infinity, among inputs and targets."""
    np.savez("d.npz", x=np.full(9, 1e300), y=np.arange(9) / 2)
    text = (
        'd.npz: numbers must fit float32 after scaling (got "overflow encountered in cast"'
        ' with data.scale = "{}" and data.target_scale = "{}"): bring them to a smaller unit'
    )
    spec = DataSpec(source="d.npz", scale="none", target_scale="standard")
    assert refused(lambda: _prepared(spec)) == text.format("none", "standard")
    np.savez("d.npz", x=np.arange(9.0), y=np.linspace(0.5, 1.5e300, 9))
    spec = DataSpec(source="d.npz", target_scale="none")
    assert refused(lambda: _prepared(spec)) == text.format("unit", "none")


@pytest.fixture
def images(tmp_path: Path) -> str:
    """Return a folder of IDX files: 30 images to learn from and 20 that are sealed, each of one grey."""
    for name, count, first in (("train", 30, 0), ("t10k", 20, 100)):
        greys = np.arange(first, first + count, dtype=np.uint8)
        write_idx(tmp_path / f"{name}-images-idx3-ubyte", np.tile(greys[:, None, None], (1, 2, 2)))
        write_idx(tmp_path / f"{name}-labels-idx1-ubyte", (greys % 2).astype(np.uint8))
    return str(tmp_path)


def test_the_sealed_part_validates_where_the_study_says_so(images: str) -> None:
    """All other examples are then trained on, in their scale, and no test part is left unless one is split off."""
    data = _prepared(DataSpec(source=images, sealed="validation", scale="none"))
    assert sorted(data.training.inputs[:, 0]) == list(range(30))
    assert data.validation.inputs[:, 0].tolist() == list(range(100, 120))
    assert data.validation.targets.tolist() == [0, 1] * 10
    assert data.test is None
    data = _prepared(
        DataSpec(source=images, sealed="validation", examples=20, test_fraction=0.25, scale="none")
    )
    assert data.test is not None
    parts = [len(fold.targets) for fold in (data.training, data.validation, data.test)]
    assert parts == [15, 20, 5]
    assert max(data.test.inputs[:, 0]) < 30


def test_what_the_sealed_part_serves_as_is_part_of_the_data(images: str) -> None:
    """Studies that validate on different examples have different fingerprints, and so have other sealed parts."""
    spec = DataSpec(source=images, sealed="validation", test_fraction=0.2)
    before = _prepared(spec).fingerprint
    assert before != _prepared(DataSpec(source=images, test_fraction=0.2)).fingerprint
    assert before != _prepared(replace(spec, examples=20)).fingerprint
    write_idx(Path(images) / "t10k-images-idx3-ubyte", np.zeros((20, 2, 2), np.uint8))
    assert before != _prepared(spec).fingerprint


def test_arrays_in_memory_are_the_data_of_their_file(tmp_path: Path) -> None:
    """Arrays that a program holds, and the file that stores them, give the same data with the same fingerprint."""
    random = np.random.Generator(np.random.PCG64(3))
    raw = read_arrays((random.normal(size=(50, 3)), np.array(["a", "b"] * 25)))
    spec = DataSpec(source=store_arrays(raw, tmp_path), scale="standard", test_fraction=0.1)
    stored = _prepared(spec)
    held = prepare_dataset(dataset_from(raw, name="data", task="auto"), spec, seed=1, precision="float32")
    assert held.fingerprint == stored.fingerprint
    assert held.classes == stored.classes
    np.testing.assert_array_equal(held.training.inputs, stored.training.inputs)
