"""The name of prepared data: equal for equal numbers from any place."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from hpsearch.data.dataset import Array, Dataset
from hpsearch.data.scaling import Scaling
from hpsearch.data.split import Split
from hpsearch.data.target_scaling import UNSCALED, TargetScaling

_VERSION: Final = "hpsearch data 1"
"""Changes if the same study file begins to mean other numbers."""

_DIGITS: Final = 32
_BLOCK_NUMBERS: Final = 1 << 20


def fingerprint(  # noqa: PLR0913  # all that decides the numbers
    dataset: Dataset,
    split: Split,
    scaling: Scaling,
    *,
    stratify: bool,
    target_scaling: TargetScaling = UNSCALED,
    encoding: str = "",
) -> str:
    """Return 32 hexadecimal digits, the head of a SHA-256, that name a study's data.

    It covers the values and shapes of inputs and targets in their order, the task, the rows of each part, `stratify`,
    and the scaling with its fitted numbers to 10 digits (their last bits may differ between processors), and that of
    targets if they are scaled; and the sealed part if it is the test set or the validation part. Numbers of equal value
    are equal whatever their type and byte order. Names of files, inputs and classes do not count. For inputs that are
    encoded, `dataset` has their codes, and the description `encoding` counts.
    """
    digest = hashlib.sha256(f"{_VERSION}\n{dataset.task} {len(dataset.classes)}\n".encode())
    arrays = [dataset.inputs, dataset.targets, split.training, split.validation, split.test]
    if dataset.sealed is not None and not (len(split.test) and len(split.validation)):
        arrays += [dataset.sealed.inputs, dataset.sealed.targets]
    for array in arrays:
        kind = "bytes" if _fits_bytes(array) else "numbers"
        digest.update(f"{kind} {array.shape}\n".encode())
        for block in _canonical_blocks(array, kind):
            digest.update(block)
    fitted = [f"{number + 0.0:.9e}" for number in (*scaling.offset, *scaling.divisor)]
    digest.update(f"{scaling.kind} {stratify} {' '.join(fitted)}\n".encode())
    if target_scaling.kind != "none":  # studies stored without this key keep their fingerprint
        fitted = [f"{number + 0.0:.9e}" for number in (*target_scaling.offset, *target_scaling.divisor)]
        digest.update(f"targets {target_scaling.kind} {' '.join(fitted)}\n".encode())
    if encoding:
        digest.update(f"{encoding}\n".encode())
    return digest.hexdigest()[:_DIGITS]


def folds_fingerprint(fingerprints: Sequence[str]) -> str:
    """Return the name of data in folds, from the fingerprints of the whole and of each fold."""
    text = "\n".join([f"{_VERSION} in folds", *fingerprints])
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def _fits_bytes(array: Array) -> bool:
    """Return True if every number is whole and in 0..255: bytes are hashed eight times as fast."""
    if array.dtype == np.uint8:
        return True
    return all(bool(np.all((b >= 0) & (b <= 255) & (b == np.floor(b)))) for b in _blocks(array))


def _canonical_blocks(array: Array, kind: str) -> Iterator[bytes | memoryview]:
    """Yield the numbers in order, as uint8 or as little-endian float64 without negative zeros."""
    for block in _blocks(array):
        if kind == "bytes":
            yield block.astype(np.uint8, copy=False).tobytes()
        else:
            yield (block.astype("<f8") + 0.0).astype("<f8", copy=False).tobytes()


def _blocks(array: Array) -> Iterator[Array]:
    step = max(1, _BLOCK_NUMBERS // max(1, array[:1].size))
    for start in range(0, len(array), step):
        yield array[start : start + step]
