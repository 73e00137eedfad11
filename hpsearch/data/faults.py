"""Deliberate mistakes in the data, to test diagnosis, which gets no hint of them.

Faults of inputs apply to the whole source, like a mistake in reading it; faults of targets apply to one part. Inputs
and targets stay valid values of the source, finite and of the same type and number.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np

from hpsearch.data.dataset import Array, Dataset
from hpsearch.data.split import Indices, Split
from hpsearch.errors import DataError
from hpsearch.study.spec import Fault

FAULT_STREAM: Final = int.from_bytes(b"falt")
"""Keeps the shuffling of targets apart from every other stream of the same seed."""

INPUT_FAULTS: Final = frozenset({"constant_inputs", "integer_division", "byte_product"})
"""Faults of inputs; the others are of targets."""

_BYTES: Final = 256


def with_wrong_inputs(dataset: Dataset, fault: Fault | None) -> Dataset:
    """Return `dataset` with `fault` applied to its inputs, those of a sealed part too.

    Raises DataError if the inputs are not the whole numbers or bytes that it needs.
    """
    if fault is None or fault.name not in INPUT_FAULTS:
        return dataset
    first, sealed = dataset.inputs[:1], dataset.sealed
    if sealed is not None:
        sealed = replace(sealed, inputs=apply_fault(sealed.inputs, fault, first=first, where=dataset.origin))
    inputs = apply_fault(dataset.inputs, fault, first=first, where=dataset.origin)
    return replace(dataset, inputs=inputs, sealed=sealed)


def with_wrong_labels(dataset: Dataset, parts: Split, fault: Fault | None, *, seed: int) -> Dataset:
    """Return `dataset` with `fault` applied to the targets of one of its `parts`, from the study's `seed`."""
    if fault is None:
        return dataset
    match fault.name:
        case "labels_shuffled":
            return replace(dataset, targets=_shuffled(dataset.targets, parts.training, seed))
        case "validation_labels_shuffled":
            return _with_wrong_validation(dataset, parts, seed)
        case _:
            return dataset


def _with_wrong_validation(dataset: Dataset, parts: Split, seed: int) -> Dataset:
    """Return `dataset` with its validation targets shuffled, or those of the sealed part if none was split."""
    sealed = dataset.sealed
    if len(parts.validation) or sealed is None:
        return replace(dataset, targets=_shuffled(dataset.targets, parts.validation, seed))
    rows = np.arange(len(sealed.targets), dtype=np.int64)
    return replace(dataset, sealed=replace(sealed, targets=_shuffled(sealed.targets, rows, seed)))


def _shuffled(targets: Array, rows: Indices, seed: int) -> Array:
    """Return `targets` with those of `rows` in another order among themselves."""
    stream = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, FAULT_STREAM])))
    shuffled = targets.copy()
    shuffled[rows] = targets[stream.permutation(rows)]
    return shuffled


def apply_fault(inputs: Array, fault: Fault, *, first: Array, where: str) -> Array:
    """Return `inputs` (N, I) after a fault of inputs; `first` (1, I) are those of the source's first example."""
    if fault.name == "constant_inputs":
        return np.broadcast_to(first, inputs.shape)
    if fault.number is None:
        raise ValueError(f"fault {fault.name} needs a number (got None)")
    number = fault.number
    if fault.name == "integer_division":
        _check_whole(inputs, fault, where, most=np.inf)
        return _mapped(inputs, lambda values: values // number)
    _check_whole(inputs, fault, where, most=_BYTES - 1)
    return _mapped(inputs, lambda values: values * number % _BYTES)


def _mapped(inputs: Array, rule: Callable[[Array], Array]) -> Array:
    """Return `inputs` after the elementwise `rule`; bytes go through a table, so that they stay bytes."""
    if inputs.dtype == np.uint8:
        return rule(np.arange(_BYTES)).astype(np.uint8)[inputs]
    return rule(inputs)


def _check_whole(inputs: Array, fault: Fault, where: str, *, most: float) -> None:
    """Raise DataError unless all inputs are whole numbers and, if `most` is finite, in 0..`most`."""
    if inputs.dtype == np.uint8:
        return
    low = -np.inf if most == np.inf else 0
    bad = (inputs != np.floor(inputs)) | (inputs < low) | (inputs > most)
    if bad.any():
        kind = "whole numbers" if most == np.inf else f"whole numbers from 0 to {most:.0f}"
        raise DataError(
            f"data.fault: {fault.name} needs inputs that are {kind} (got {inputs.flat[bad.argmax()]} in {where}):"
            " choose a source that has them, such as digits or mnist"
        )
