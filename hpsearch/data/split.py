"""The shuffled split into training, validation and test part, from the study's seed alone."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, final

import numpy as np
import numpy.typing as npt

from hpsearch.data.dataset import Array, Dataset
from hpsearch.data.split_column import groups_of, times_of
from hpsearch.errors import DataError
from hpsearch.study.spec import DataSpec

Indices: TypeAlias = npt.NDArray[np.int64]

SPLIT_STREAM: Final = int.from_bytes(b"splt")
"""Keeps the split's random stream apart from every other stream of the same seed."""


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Split:
    """Rows of a data set (n,), in random order, or by time. Together every row that the study takes, once.

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

    With `group`, a part has that fraction of the groups, drawn by the same stream, and all their rows, as with
    scikit-learn's `GroupShuffleSplit`. With `time`, the test part has the latest rows, and validation the latest of the
    others; rows of the same time are all in the later part, which may then be larger.

    Raises DataError if there are fewer rows than `examples`, if fewer than 2 rows are left for training, for a source
    without the sealed part that should validate, for fewer groups or times than parts, and with `stratify` for
    regression and for a class with fewer rows than there are parts.
    """
    _check_sealed(dataset, spec)
    examples = _taken(dataset, spec)
    test_size, validation_size = _sizes(spec, examples)
    order, stream = _order(dataset, seed, examples)
    if spec.group is not None:
        test, rest = _draw_groups(order, dataset, spec, spec.test_fraction, stream)
        validation, training = _draw_groups(rest, dataset, spec, _share_of_rest(spec), stream)
        _check_training(training, "data.group")
    elif spec.time is not None:
        rest, test = _cut_latest(order, dataset, spec, test_size)
        training, validation = _cut_latest(rest, dataset, spec, validation_size)
        _check_training(training, "data.time")
    elif not spec.stratify:
        test, validation, training = np.split(order, [test_size, test_size + validation_size])
    else:
        _check_stratifiable(dataset, order, parts=1 + bool(test_size) + bool(validation_size))
        test, rest = _draw(order, dataset, size=test_size, later_parts=1 + bool(validation_size))
        validation, training = _draw(rest, dataset, size=validation_size, later_parts=1)
    return Split(training=training, validation=validation, test=test)


def split_folds(dataset: Dataset, spec: DataSpec, *, seed: int) -> list[Split]:
    """Return the splits of the K `folds` of `spec`, which share the test part that `split` draws.

    Without `time` each of the other rows is in the validation part of one fold, and in the training part of all others,
    as with scikit-learn's `KFold`, `StratifiedKFold` and `GroupKFold`: the stream's order is cut into K parts that
    differ by one row at most; with `stratify` so does each class; with `group` the largest groups go first to the part
    with the fewest rows. With `time` the folds are those of `TimeSeriesSplit`: each trains on all rows earlier than its
    validation part; rows of the same time are all in the later part.

    Raises DataError as `split` does, and for fewer groups, times or rows of a class than folds.
    """
    order, stream = _order(dataset, seed, _taken(dataset, spec))
    examples = len(order)
    test_size = max(1, round(examples * spec.test_fraction)) if spec.test_fraction else 0
    if spec.time is not None:
        rest, test = _cut_latest(order, dataset, spec, test_size)
        return _expanding(rest, test, dataset, spec)
    if spec.group is not None:
        test, rest = _draw_groups(order, dataset, spec, spec.test_fraction, stream)
        places = _group_folds(rest, dataset, spec, stream)
    elif spec.stratify:
        _check_stratifiable(dataset, order, parts=spec.folds + bool(test_size))
        test, rest = _draw(order, dataset, size=test_size, later_parts=spec.folds)
        dealt = np.empty(len(rest), np.int64)
        dealt[np.argsort(dataset.targets[rest], kind="stable")] = np.arange(len(rest)) % spec.folds
        places = dealt
    else:
        test, rest = order[:test_size], order[test_size:]
        places = np.arange(len(rest)) * spec.folds // max(1, len(rest))
    _check_fold_sizes(places, spec.folds, examples)
    return [
        Split(training=rest[places != fold], validation=rest[places == fold], test=test)
        for fold in range(spec.folds)
    ]


def whole_split(folds: Sequence[Split]) -> Split:
    """Return the split whose training part has every row of `folds` but those of the test part.

    Its validation part, that of the last fold, is inside the training part, and so measures nothing.
    """
    last = folds[-1]
    rows = np.concatenate([last.training, last.validation])
    return Split(training=rows, validation=last.validation, test=last.test)


def _order(dataset: Dataset, seed: int, examples: int) -> tuple[Indices, np.random.Generator]:
    """Return the first `examples` rows in the order of the stream, and the stream."""
    stream = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, SPLIT_STREAM])))
    return stream.permutation(len(dataset.targets)).astype(np.int64)[:examples], stream


def _split_column(dataset: Dataset) -> Array:
    if dataset.split_column is None:
        raise ValueError(f"{dataset.name}: has no column to split by, which its reader should have read")
    return dataset.split_column


def _share_of_rest(spec: DataSpec) -> float:
    """Return the validation part as a fraction of the rows outside the test part."""
    return spec.validation_fraction / (1 - spec.test_fraction)


def _draw_groups(
    rows: Indices, dataset: Dataset, spec: DataSpec, fraction: float, stream: np.random.Generator
) -> tuple[Indices, Indices]:
    """Return the rows of a fraction of their groups, and the others; both in the order of `rows`."""
    if not fraction:
        return rows[:0], rows
    own = groups_of(_split_column(dataset))[rows]
    groups = np.unique(own)
    if len(groups) < 2:
        raise DataError(
            f"data.group: there must be at least one group for each part (got {len(groups)} left for the last two"
            f' in column "{spec.group}"): bring more groups, lower the fractions, or leave data.group out'
        )
    count = min(max(1, round(len(groups) * fraction)), len(groups) - 1)
    taken = np.isin(own, stream.permutation(groups)[:count])
    return rows[taken], rows[~taken]


def _group_folds(rows: Indices, dataset: Dataset, spec: DataSpec, stream: np.random.Generator) -> Indices:
    """Return the fold (N,) of each row: whole groups, the largest first, to the fold with the fewest rows."""
    groups, own, sizes = np.unique(
        groups_of(_split_column(dataset))[rows], return_inverse=True, return_counts=True
    )
    if len(groups) < spec.folds:
        raise DataError(
            f"data.group: there must be at least one group for each of the {spec.folds} folds (got {len(groups)}"
            f' in column "{spec.group}"): lower data.folds, or bring more groups'
        )
    shuffled = stream.permutation(len(groups))
    totals = np.zeros(spec.folds, np.int64)
    folds = np.empty(len(groups), np.int64)
    for group in shuffled[np.argsort(-sizes[shuffled], kind="stable")]:
        folds[group] = totals.argmin()
        totals[folds[group]] += sizes[group]
    return folds[own.reshape(-1)]


def _by_time(rows: Indices, dataset: Dataset, spec: DataSpec) -> tuple[Indices, Array]:
    """Return the rows from the earliest to the latest, equal times in the order of the table, and their times."""
    times = times_of(_split_column(dataset), spec.time or "", where=dataset.origin)
    ordered = np.sort(rows)
    ordered = ordered[np.argsort(times[ordered], kind="stable")]
    return ordered, times[ordered]


def _cut_latest(rows: Indices, dataset: Dataset, spec: DataSpec, size: int) -> tuple[Indices, Indices]:
    """Return the earlier rows and at least `size` latest ones: all of the earliest time among them."""
    if not size:
        return rows, rows[:0]
    ordered, times = _by_time(rows, dataset, spec)
    cut = int(np.searchsorted(times, times[-size]))
    return ordered[:cut], ordered[cut:]


def _expanding(rows: Indices, test: Indices, dataset: Dataset, spec: DataSpec) -> list[Split]:
    """Return the splits of scikit-learn's `TimeSeriesSplit`, cut between different times."""
    ordered, times = _by_time(rows, dataset, spec)
    size = len(ordered) // (spec.folds + 1)
    starts = [len(ordered) - (spec.folds - fold) * size for fold in range(spec.folds)]
    cuts = [*(int(np.searchsorted(times, times[start])) for start in starts if size), len(ordered)]
    if not size or cuts[0] < 2 or len(set(cuts)) < len(cuts):
        raise DataError(
            f"data.folds: the times must differ enough for {spec.folds} folds, each later than its training part"
            f' (got {len(np.unique(times))} times in {len(ordered)} rows of column "{spec.time}"): lower data.folds'
        )
    return [
        Split(training=ordered[:start], validation=ordered[start:stop], test=test)
        for start, stop in itertools.pairwise(cuts)
    ]


def _check_training(training: Indices, where: str) -> None:
    if len(training) < 2:
        raise DataError(
            f"{where}: at least 2 examples must be left for training (got {len(training)}):"
            " lower the fractions, or leave it out"
        )


def _check_fold_sizes(places: Indices, folds: int, examples: int) -> None:
    sizes = np.bincount(places, minlength=folds)
    if sizes.min() < 1 or len(places) - sizes.max() < 2:
        raise DataError(
            f"data.folds: every fold must have an example to validate on, and 2 to train on (got {examples} examples"
            f" for {folds} folds): lower it, or bring more examples"
        )


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
