"""The shuffled split into training, validation and test part, from the study's seed alone."""

from dataclasses import dataclass
from typing import Final, TypeAlias, final

import numpy as np
import numpy.typing as npt

from hpsearch.data.dataset import Array, Dataset
from hpsearch.errors import DataError
from hpsearch.study.spec import DataSpec

Indices: TypeAlias = npt.NDArray[np.int64]

SPLIT_STREAM: Final = int.from_bytes(b"splt")
"""Keeps the split's random stream apart from every other stream of the same seed."""


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Split:
    """Rows of a data set (n,), in random order. Together every row that the study takes, once.

    `test` may be empty, and so may `validation` if the source itself keeps a part for it.
    """

    training: Indices
    validation: Indices
    test: Indices


def split(dataset: Dataset, spec: DataSpec, *, seed: int) -> Split:
    """Return the split that `spec` requests, the same for the same seed (not negative) and number of rows.

    The stream is PCG64 from SeedSequence([seed, SPLIT_STREAM]); its permutation's head is the test part, then come
    validation and training. A part has round(N * fraction) rows, ties to even; validation at least 1 unless the
    source's own sealed part is it, and likewise the test part if one is requested. With `stratify` each class gets its
    share of a part by largest remainder, ties to the lower class, but keeps one row for every later part. With
    `examples` N is that number, and the permutation's first N rows are all that the study has.

    Raises DataError if there are fewer rows than `examples`, if fewer than 2 rows are left for training, for a source
    without the sealed part that should validate, and with `stratify` for regression and for a class with fewer rows
    than there are parts.
    """
    _check_sealed(dataset, spec)
    examples = _taken(dataset, spec)
    test_size, validation_size = _sizes(spec, examples)
    stream = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, SPLIT_STREAM])))
    order = stream.permutation(len(dataset.targets)).astype(np.int64)[:examples]
    if not spec.stratify:
        test, validation, training = np.split(order, [test_size, test_size + validation_size])
        return Split(training=training, validation=validation, test=test)
    _check_stratifiable(dataset, order, parts=1 + bool(test_size) + bool(validation_size))
    test, rest = _draw(order, dataset, size=test_size, later_parts=1 + bool(validation_size))
    validation, training = _draw(rest, dataset, size=validation_size, later_parts=1)
    return Split(training=training, validation=validation, test=test)


def _sizes(spec: DataSpec, examples: int) -> tuple[int, int]:
    """Return the sizes of test and validation part."""
    test = max(1, round(examples * spec.test_fraction)) if spec.test_fraction else 0
    is_sealed = spec.sealed == "validation"
    validation = 0 if is_sealed else max(1, round(examples * spec.validation_fraction))
    training = examples - validation - test
    if training < 2:
        raise DataError(
            "data.validation_fraction: at least 2 examples must be left for training"
            f" (got {examples} examples, {validation} of them for validation and {test} for test):"
            " lower the fractions, or bring more examples"
        )
    return test, validation


def _check_sealed(dataset: Dataset, spec: DataSpec) -> None:
    if spec.sealed == "validation" and dataset.sealed is None:
        raise DataError(
            f'data.sealed: only a source that keeps a part of its own can validate on it (got "{spec.source}"):'
            " take mnist or a folder of IDX files with t10k files, or set data.validation_fraction in its place"
        )


def _taken(dataset: Dataset, spec: DataSpec) -> int:
    """Return the number of examples that the study takes."""
    there = len(dataset.targets)
    if spec.examples is not None and spec.examples > there:
        raise DataError(
            f"data.examples: must be at most {there}, as many as the source has (got {spec.examples}): "
            "lower it, or leave it out for all"
        )
    return there if spec.examples is None else spec.examples


def _check_stratifiable(dataset: Dataset, rows: Indices, *, parts: int) -> None:
    if dataset.task == "regression":
        raise DataError("data.stratify: only classes can be stratified (got a regression): set it to false")
    counts = np.bincount(dataset.targets[rows], minlength=len(dataset.classes))
    smallest = int(counts.argmin())
    if counts[smallest] < parts:
        raise DataError(
            f"data.stratify: every class must have at least {parts} examples, one per part"
            f' (got {counts[smallest]} of class "{dataset.classes[smallest]}"):'
            " bring more of them, drop the class, or set data.stratify = false"
        )


def _draw(rows: Indices, dataset: Dataset, *, size: int, later_parts: int) -> tuple[Indices, Indices]:
    """Return the first rows of each class, `size` in all, and the others; both in the order of `rows`."""
    classes = dataset.targets[rows]
    counts = np.bincount(classes, minlength=len(dataset.classes))
    shares = _shares(counts, size, later_parts=later_parts)
    taken = _rank_within_class(classes) < shares[classes]
    return rows[taken], rows[~taken]


def _shares(counts: Array, size: int, *, later_parts: int) -> Array:
    """Return the number of each class (C,) in `size`: largest remainder, leaving `later_parts` of each."""
    total = counts.sum()
    most = np.maximum(counts - later_parts, 0)
    if most.sum() < size:
        raise DataError(
            f"data.stratify: every class must keep an example for each part (got {size} examples to take"
            f" out of {total} in {len(counts)} classes): lower the fractions"
        )
    # In whole numbers, so that equal remainders are equal: a class's quota is counts * size / total.
    shares: Array = np.minimum(counts * size // total, most)
    order = np.argsort(shares * total - counts * size, kind="stable")
    while (left := size - shares.sum()) > 0:
        shares[order[shares[order] < most[order]][:left]] += 1
    return shares


def _rank_within_class(classes: Array) -> Array:
    """Return for each row the number of earlier rows of its class."""
    order = np.argsort(classes, kind="stable")
    sizes = np.bincount(classes)
    starts = np.cumsum(sizes) - sizes
    ranks = np.empty(len(classes), np.int64)
    ranks[order] = np.arange(len(classes)) - np.repeat(starts, sizes)
    return ranks
