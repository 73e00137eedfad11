"""The name of prepared data."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hpsearch.data.dataset import Dataset, SourceExamples
from hpsearch.data.fingerprint import fingerprint
from hpsearch.data.scaling import fit
from hpsearch.data.split import Split, split
from hpsearch.study.spec import DataSpec

_SPEC = DataSpec(source="x", validation_fraction=0.25)


def _dataset(**changes: Any) -> Dataset:
    data = Dataset(
        name="x",
        inputs=np.arange(24, dtype=np.uint8).reshape(8, 3),
        targets=np.array([0, 1] * 4),
        task="classification",
        classes=("a", "b"),
        features=(),
        is_image=False,
        origin="here",
    )
    return replace(data, **changes)


def _name(dataset: Dataset, *, spec: DataSpec = _SPEC, seed: int = 1, parts: Split | None = None) -> str:
    parts = parts or split(dataset, spec, seed=seed)
    scaling = fit(dataset.inputs, parts.training, kind=spec.scale, is_image=dataset.is_image)
    return fingerprint(dataset, parts, scaling, stratify=spec.stratify)


_PLAIN = _name(_dataset())


def test_a_fingerprint_is_what_it_was() -> None:
    """Stored studies stay usable: the same data has the same name in every version and on every machine."""
    assert _PLAIN == "ae3215048caa843464ac9196d30dccb3"


@pytest.mark.parametrize("kind", ["i8", ">i4", "f4", ">f8"])
def test_type_and_byte_order_do_not_count(kind: str) -> None:
    """Equal numbers are equal, whatever they are stored as."""
    data = _dataset()
    assert _name(replace(data, inputs=data.inputs.astype(kind), targets=data.targets.astype(">i8"))) == _PLAIN
    halves = replace(data, inputs=data.inputs / 2 - 3)
    assert _name(replace(halves, inputs=halves.inputs.astype(">f4"))) == _name(halves)


def test_layout_and_negative_zero_do_not_count() -> None:
    """Neither Fortran order nor the sign of a zero makes another data set."""
    inputs = np.arange(24.0).reshape(8, 3) - 0.5
    inputs[0, 0] = 0.0
    signed = np.asfortranarray(inputs)
    signed[0, 0] = -0.0
    assert _name(_dataset(inputs=signed)) == _name(_dataset(inputs=inputs))


def test_names_do_not_count() -> None:
    """The path of the data, and its display names, change nothing."""
    renamed = _dataset(name="y", origin="there", classes=("c", "d"), features=("p", "q", "r"))
    assert _name(renamed) == _PLAIN


def _changed(array: NDArray[Any], place: Any, value: Any) -> NDArray[Any]:
    copy = array.copy()
    copy[place] = value
    return copy


def test_every_ingredient_counts() -> None:
    """One other number, target, shape, order, task, class, part, scale or seed gives another name."""
    data = _dataset()
    parts = split(data, _SPEC, seed=1)
    swapped = replace(parts, training=parts.training[::-1])
    moved = replace(
        parts, validation=parts.validation[:-1], training=np.r_[parts.training, parts.validation[-1]]
    )
    sealed = SourceExamples(inputs=data.inputs[:2], targets=data.targets[:2])
    names = [
        _PLAIN,
        _name(replace(data, inputs=_changed(data.inputs, (7, 2), 99))),
        _name(replace(data, inputs=_changed(data.inputs * 0.5, (7, 2), 1e9))),
        _name(replace(data, targets=_changed(data.targets, 3, 0))),
        _name(replace(data, inputs=data.inputs.reshape(8, 3)[:, ::-1])),
        _name(replace(data, inputs=np.c_[data.inputs, data.inputs])),
        _name(replace(data, task="regression", classes=(), targets=data.targets[:, None].astype(float))),
        _name(replace(data, classes=("a", "b", "c"))),
        _name(replace(data, is_image=True)),
        _name(replace(data, sealed=sealed)),
        _name(replace(data, sealed=replace(sealed, inputs=sealed.inputs + 1))),
        _name(data, parts=swapped),
        _name(data, parts=moved),
        _name(data, seed=2),
        _name(data, spec=replace(_SPEC, scale="standard")),
        _name(data, spec=replace(_SPEC, scale="none")),
        _name(data, spec=replace(_SPEC, validation_fraction=0.5)),
        _name(data, spec=replace(_SPEC, test_fraction=0.25)),
        _name(data, spec=replace(_SPEC, stratify=True)),
    ]
    assert len(set(names)) == len(names)
    assert all(len(name) == 32 and set(name) <= set("0123456789abcdef") for name in names)


def test_shape_counts_by_itself() -> None:
    """The same bytes in rows of another length are other data."""
    data = _dataset()
    parts = Split(training=np.arange(3), validation=np.arange(3, 4), test=np.arange(0))
    scaling = fit(data.inputs, parts.training, kind="none", is_image=False)
    wide = replace(data, inputs=data.inputs.reshape(4, 6))
    assert fingerprint(wide, parts, scaling, stratify=False) != fingerprint(
        data, parts, scaling, stratify=False
    )


def test_an_unused_sealed_part_does_not_count() -> None:
    """If a study takes a test part of its own, the source's sealed part changes nothing."""
    data = _dataset()
    sealed = SourceExamples(inputs=data.inputs[:2], targets=data.targets[:2])
    spec = replace(_SPEC, test_fraction=0.25)
    assert _name(replace(data, sealed=sealed), spec=spec) == _name(data, spec=spec)


def test_stratification_counts_by_itself() -> None:
    """A stratified split has a fingerprint of its own, even if its rows are the same."""
    data = _dataset()
    parts = split(data, _SPEC, seed=1)
    scaling = fit(data.inputs, parts.training, kind="unit", is_image=False)
    assert fingerprint(data, parts, scaling, stratify=True) != fingerprint(
        data, parts, scaling, stratify=False
    )


def test_the_last_bits_of_fitted_numbers_do_not_count() -> None:
    """Sums that another processor rounds otherwise do not make other data; a change that is seen does."""
    data = _dataset()
    parts = split(data, _SPEC, seed=1)
    scaling = fit(data.inputs, parts.training, kind="standard", is_image=False)
    rounded = replace(scaling, offset=np.nextafter(scaling.offset, np.inf))
    assert fingerprint(data, parts, rounded, stratify=False) == fingerprint(
        data, parts, scaling, stratify=False
    )
    other = replace(scaling, offset=scaling.offset * (1 + 1e-6))
    assert fingerprint(data, parts, other, stratify=False) != fingerprint(
        data, parts, scaling, stratify=False
    )
