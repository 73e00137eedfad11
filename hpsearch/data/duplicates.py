"""Examples of the validation part that the training part has too: a leak, unless few different inputs exist."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias, final

import numpy as np
import numpy.typing as npt

from hpsearch.data.dataset import Array

Hashes: TypeAlias = npt.NDArray[np.uint64]

FEWEST_SHARED: Final = 3
"""Fewer equal examples prove nothing: a random split of iris may share its one flower that was measured twice."""

LEAST_SHARE: Final = 0.01
"""A smaller share of the validation part changes an accuracy by less than its rounding."""

LEAST_DIFFERENT: Final = 0.4
"""A training part whose different inputs are a smaller share of it has few by nature: each occurs 2.5 times."""

BEYOND_CHANCE: Final = 4.0
"""Copies make this many times as many equal pairs as chance.

Measured on 800 made-up rows in 20 splits each: at most 1.8 for tables of whole numbers, switches and categories
without copies, whose 8 to 149 shared examples are natural; above 30 for numbers with decimals of which one
row in fifty is copied, and above 4.5 for whole numbers and switches of which three in ten are.
"""

MOST_COLUMNS: Final = 64
"""Columns that are compared one by one, those with the most different numbers."""

_SEED: Final = 20171101


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SharedExamples:
    """Examples of the validation part whose inputs the training part has.

    `same` and `other` are places in the validation part, ascending: those with an equal target there, and those with
    other targets only. `twins` are the places in the training part of an equal example for each of `same`.
    """

    same: tuple[int, ...]
    twins: tuple[int, ...]
    other: tuple[int, ...]


NONE_SHARED: Final = SharedExamples(same=(), twins=(), other=())


def shared_examples(training: tuple[Array, Array], validation: tuple[Array, Array]) -> SharedExamples:
    """Return the examples that both parts have; none if chance explains them.

    A part is its inputs (N, I) and targets (N,) or (N, O). Few switches have few settings: equal inputs are no copies.
    Chance is estimated from pairs of a training and a validation example that agree in all columns but one: if
    that column were drawn anew, they would agree in it too as often as any two examples do. Columns of two values count
    as one column together, since categories are encoded by several.
    """
    inputs, there = training[0], validation[0]
    if min(len(inputs), len(there)) == 0 or inputs.shape[1] < 2:
        return NONE_SHARED
    if not _may_share(inputs, there):
        return NONE_SHARED
    hashes, theirs = _hashes(inputs), _hashes(there)
    places = np.flatnonzero(np.isin(theirs, hashes))
    if not _are_many(len(places), len(there)) or len(np.unique(hashes)) < LEAST_DIFFERENT * len(hashes):
        return NONE_SHARED
    if _pairs(hashes, theirs) <= BEYOND_CHANCE * _expected_pairs(inputs, there, hashes, theirs):
        return NONE_SHARED
    whole, theirs_whole = (
        own + _hashes(_as_columns(targets), seed=_SEED + 1)
        for own, targets in ((hashes, training[1]), (theirs, validation[1]))
    )
    is_same = np.isin(theirs_whole[places], whole)
    same = places[is_same]
    ordered = np.argsort(whole, kind="stable")
    twins = ordered[np.searchsorted(whole[ordered], theirs_whole[same])]
    return SharedExamples(
        same=tuple(same.tolist()), twins=tuple(twins.tolist()), other=tuple(places[~is_same].tolist())
    )


def _may_share(inputs: Array, there: Array) -> bool:
    """Return False if some columns, and then all columns of the examples that agree in these, share too few."""
    hashes, theirs = (_hashes(part[:, _some_columns(inputs)]) for part in (inputs, there))
    ours_likely, likely = np.isin(hashes, theirs), np.isin(theirs, hashes)
    if not _are_many(int(likely.sum()), len(there)):
        return False
    shared = np.isin(_hashes(there[likely]), _hashes(inputs[ours_likely]))
    return _are_many(int(shared.sum()), len(there))


def _are_many(shared: int, examples: int) -> bool:
    return shared >= max(FEWEST_SHARED, LEAST_SHARE * examples)


def _as_columns(targets: Array) -> Array:
    return targets.reshape(len(targets), -1)


def _some_columns(inputs: Array) -> npt.NDArray[np.intp]:
    """Return the places of at most `MOST_COLUMNS` columns, evenly spread: rows that differ there need no other."""
    width = inputs.shape[1]
    return np.unique(np.linspace(0, width - 1, min(width, MOST_COLUMNS)).astype(np.intp))


def _multipliers(width: int, seed: int) -> Hashes:
    generator = np.random.Generator(np.random.PCG64(seed))
    return generator.integers(1, 2**64, size=width, dtype=np.uint64) | np.uint64(1)


def _bits(numbers: Array) -> Hashes:
    """Return numbers as mixed 64-bit words, the same for equal numbers; 0 and -0 are equal."""
    words: Hashes = (numbers.astype(np.float64) + 0.0).view(np.uint64)
    words = (words ^ (words >> np.uint64(32))) * np.uint64(0x9E3779B97F4A7C15)
    mixed: Hashes = words ^ (words >> np.uint64(29))
    return mixed


def _hashes(columns: Array, seed: int = _SEED) -> Hashes:
    """Return a hash (N,) of each row of `columns` (N, I): a sum over columns, so that one can be taken out."""
    total = np.zeros(len(columns), np.uint64)
    for column, multiplier in zip(np.asarray(columns).T, _multipliers(columns.shape[1], seed), strict=True):
        total += _bits(np.ascontiguousarray(column)) * multiplier
    return total


def _pairs(ours: Hashes, theirs: Hashes) -> float:
    """Return the number of pairs, one of each part, with equal hashes."""
    values, counts = np.unique(ours, return_counts=True)
    there, others = np.unique(theirs, return_counts=True)
    _, first, second = np.intersect1d(values, there, assume_unique=True, return_indices=True)
    return float((counts[first] * others[second].astype(np.float64)).sum())


def _expected_pairs(inputs: Array, there: Array, hashes: Hashes, theirs: Hashes) -> float:
    """Return how many pairs would be equal by chance: the most that any column explains."""
    agreeing = _pairs(hashes, theirs)
    most = 0.0
    for own, others, agreement in _column_hashes(inputs, there, hashes):
        near = _pairs(hashes - own, theirs - others) - agreeing
        most = max(most, near * agreement / max(1 - agreement, 1e-9))
    return most


def _column_hashes(inputs: Array, there: Array, hashes: Hashes) -> Iterator[tuple[Hashes, Hashes, float]]:
    """Yield the summands of a column's hashes in both parts, and the probability that two examples agree in it.

    Copies would make any column agree, so it is that of different training examples; for all columns of two values
    together, of any two.
    """
    _, different = np.unique(hashes, return_index=True)
    multipliers = _multipliers(inputs.shape[1], _SEED)
    counts = np.array([len(np.unique(column)) for column in inputs[different].T])
    is_binary = counts <= 2
    for place in np.argsort(-counts, kind="stable")[:MOST_COLUMNS]:
        if is_binary[place]:
            break
        own, others = (
            _bits(np.ascontiguousarray(part[:, place])) * multipliers[place] for part in (inputs, there)
        )
        yield own, others, _agreement(own[different])
    if is_binary.any():
        places = np.flatnonzero(is_binary)
        own, others = (
            sum(
                (_bits(np.ascontiguousarray(part[:, place])) * multipliers[place] for place in places),
                start=np.zeros(len(part), np.uint64),
            )
            for part in (inputs, there)
        )
        yield own, others, _agreement(own)


def _agreement(values: Hashes) -> float:
    """Return the probability that two different ones of `values` (N,) are equal."""
    count = len(values)
    _, counts = np.unique(values, return_counts=True)
    pairs = float((counts * (counts - 1.0)).sum())
    return pairs / (count * (count - 1.0)) if count > 1 else 0.0
