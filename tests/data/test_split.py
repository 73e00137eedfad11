"""The split into training, validation and test part."""

from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.model_selection import KFold, TimeSeriesSplit

from hpsearch.data.dataset import Dataset
from hpsearch.data.split import Split, split, split_folds
from hpsearch.errors import DataError
from hpsearch.study.spec import DataSpec

Refused = Callable[[Callable[[], object]], str]


def _dataset(class_sizes: list[int], *, task: Any = "classification") -> Dataset:
    """Return a data set whose classes have these sizes, sorted by class."""
    targets = np.repeat(np.arange(len(class_sizes)), class_sizes)
    return Dataset(
        name="x",
        inputs=np.zeros((len(targets), 1)),
        targets=targets if task == "classification" else targets[:, None].astype(float),
        task=task,
        classes=tuple(f"c{i}" for i in range(len(class_sizes))),
        features=(),
        is_image=False,
        origin="x",
    )


def _spec(validation: float, test: float = 0.0, *, stratify: bool = False) -> DataSpec:
    return DataSpec(source="x", validation_fraction=validation, test_fraction=test, stratify=stratify)


def _parts(parts: Split) -> list[list[int]]:
    return [parts.training.tolist(), parts.validation.tolist(), parts.test.tolist()]


_FRACTIONS = st.floats(0.01, 0.6)
_SEEDS = st.integers(0, 2**64)


@given(examples=st.integers(4, 300), validation=_FRACTIONS, test=st.just(0.0) | _FRACTIONS, seed=_SEEDS)
def test_parts_are_a_partition_of_the_right_sizes(
    examples: int, validation: float, test: float, seed: int
) -> None:
    """Every row is in one part, and parts have the rounded sizes, at least one row where asked for."""
    sizes = [max(1, round(examples * f)) if f else 0 for f in (validation, test)]
    assume(examples - sum(sizes) >= 2)
    parts = split(_dataset([examples]), _spec(validation, test), seed=seed)
    assert sorted(chain(*_parts(parts))) == list(range(examples))
    assert [len(parts.validation), len(parts.test)] == sizes
    assert parts.training.dtype == np.int64


@given(
    class_sizes=st.lists(st.integers(3, 60), min_size=2, max_size=8),
    validation=st.floats(0.05, 0.4),
    test=st.just(0.0) | st.floats(0.05, 0.4),
    seed=_SEEDS,
)
def test_stratified_parts_have_every_class_in_proportion(
    class_sizes: list[int], validation: float, test: float, seed: int
) -> None:
    """A class has its share of each part to within one row, and at least one row of training."""
    dataset = _dataset(class_sizes)
    examples = sum(class_sizes)
    parts = split(dataset, _spec(validation, test, stratify=True), seed=seed)
    assert sorted(chain(*_parts(parts))) == list(range(examples))
    test_size = max(1, round(examples * test)) if test else 0
    assert [len(parts.validation), len(parts.test)] == [max(1, round(examples * validation)), test_size]

    def counts(rows: Any) -> Any:
        return np.bincount(dataset.targets[rows], minlength=len(class_sizes))

    sizes = np.array(class_sizes)
    assert counts(parts.training).min() >= 1
    large = sizes >= 10  # Smaller classes may have to leave a row to the next part.
    assert np.all(np.abs(counts(parts.test) - sizes * len(parts.test) / examples)[large] < 1)
    rest = sizes - counts(parts.test)
    quotas = rest * len(parts.validation) / rest.sum()
    assert np.all(np.abs(counts(parts.validation) - quotas)[large] < 1)


@given(seed=_SEEDS, stratify=st.booleans())
def test_the_seed_alone_decides(seed: int, *, stratify: bool) -> None:
    """The same seed gives the same split, another seed another one."""
    dataset, spec = _dataset([40, 60]), _spec(0.3, 0.1, stratify=stratify)
    again = _parts(split(dataset, spec, seed=seed))
    assert _parts(split(dataset, spec, seed=seed)) == again
    assert _parts(split(dataset, spec, seed=seed + 1)) != again


def test_the_split_is_what_it_was() -> None:
    """A seed means the same rows in every version: fingerprints that are stored depend on it."""
    parts = split(_dataset([10]), _spec(0.3, 0.2), seed=20170523)
    assert _parts(parts) == [[3, 9, 1, 2, 0], [6, 7, 4], [5, 8]]
    stratified = split(_dataset([4, 6]), _spec(0.3, 0.2, stratify=True), seed=20170523)
    assert _parts(stratified) == [[7, 4, 9, 2, 0], [8, 6, 1], [5, 3]]


def test_rows_of_a_part_are_shuffled() -> None:
    """The parts of a table that is sorted by class are shuffled."""
    parts = split(_dataset([500, 500]), _spec(0.2, stratify=True), seed=3)
    for rows in (parts.training, parts.validation):
        assert np.count_nonzero(np.diff(rows) < 0) > len(rows) / 3


@pytest.mark.parametrize(
    ("fraction", "test", "got"),
    [
        (0.9, 0.0, "4 examples, 4 of them for validation and 0 for test"),
        (0.7, 0.0, "4 examples, 3 of them for validation and 0 for test"),
        (0.25, 0.5, "4 examples, 1 of them for validation and 2 for test"),
    ],
)
def test_more_validation_than_there_is_is_refused(
    fraction: float, test: float, got: str, refused: Refused
) -> None:
    """At least two examples are left for training."""
    assert refused(lambda: split(_dataset([4]), _spec(fraction, test), seed=1)) == (
        "data.validation_fraction: at least 2 examples must be left for training"
        f" (got {got}): lower the fractions, or bring more examples"
    )


def test_a_small_fraction_is_one_example() -> None:
    """A requested part is never empty."""
    parts = split(_dataset([4]), _spec(0.01, 0.01), seed=1)
    assert [len(part) for part in _parts(parts)] == [2, 1, 1]


@pytest.mark.parametrize(("test", "parts"), [(0.0, 2), (0.2, 3)])
def test_too_few_of_a_class_are_refused(test: float, parts: int, refused: Refused) -> None:
    """With stratification each class has an example for each part."""
    dataset = _dataset([50, parts - 1])
    assert refused(lambda: split(dataset, _spec(0.2, test, stratify=True), seed=1)) == (
        f"data.stratify: every class must have at least {parts} examples, one per part (got {parts - 1} of"
        ' class "c1"): bring more of them, drop the class, or set data.stratify = false'
    )


def test_a_part_that_would_use_a_class_up_is_refused(refused: Refused) -> None:
    """With stratification every class keeps an example to train on, or the split is refused."""
    dataset = _dataset([2, 2, 2])
    assert refused(lambda: split(dataset, _spec(0.66, stratify=True), seed=1)) == (
        "data.stratify: every class must keep an example for each part (got 4 examples to take out of 6"
        " in 3 classes): lower the fractions"
    )


def test_regression_is_not_stratified(refused: Refused) -> None:
    """A regression cannot be stratified."""
    dataset = _dataset([10], task="regression")
    assert refused(lambda: split(dataset, _spec(0.2, stratify=True), seed=1)) == (
        "data.stratify: only classes can be stratified (got a regression): set it to false"
    )


def test_a_class_of_few_keeps_one_to_train_on() -> None:
    """A class that a large validation part would swallow leaves its place to the others."""
    dataset = _dataset([2, 98])
    parts = split(dataset, _spec(0.9, stratify=True), seed=1)
    assert np.bincount(dataset.targets[parts.training]).tolist() == [1, 9]
    with pytest.raises(DataError, match="every class must keep an example"):
        split(_dataset([2, 2, 96]), _spec(0.98, stratify=True), seed=1)


def test_a_class_of_few_keeps_one_to_validate_on() -> None:
    """A class that a large test part would swallow is left for validation and training."""
    dataset = _dataset([3, 97])
    parts = split(dataset, _spec(0.2, 0.7, stratify=True), seed=1)
    assert np.bincount(dataset.targets[parts.test]).tolist() == [1, 69]
    assert np.bincount(dataset.targets[parts.validation]).tolist() == [1, 19]


def test_a_study_takes_as_many_examples_as_it_asks_for() -> None:
    """Parts are of `examples` rows, none twice, drawn by the seed; asking for all is asking for none."""
    dataset, spec = _dataset([50, 50]), replace(_spec(0.2, 0.1), examples=40)
    rows = _parts(split(dataset, spec, seed=3))
    assert [len(part) for part in rows] == [28, 8, 4]
    assert len(set(chain(*rows))) == 40
    assert rows != _parts(split(dataset, spec, seed=4))
    everything = _parts(split(dataset, replace(spec, examples=100), seed=3))
    assert everything == _parts(split(dataset, replace(spec, examples=None), seed=3))


def test_examples_can_be_stratified() -> None:
    """Classes are counted among the examples that are taken, not among all."""
    spec = replace(_spec(0.25, stratify=True), examples=40)
    dataset = _dataset([100, 100])
    parts = split(dataset, spec, seed=3)
    taken = np.bincount(dataset.targets[np.concatenate([parts.training, parts.validation])])
    validating = np.bincount(dataset.targets[parts.validation])
    assert validating.sum() == 10
    assert np.abs(validating - taken / 4).max() < 1


def test_more_examples_than_there_are_cannot_be_taken(refused: Refused) -> None:
    """The error states how many there are."""
    text = refused(lambda: split(_dataset([5, 5]), replace(_spec(0.2), examples=11), seed=0))
    assert text.startswith("data.examples: must be at most 10, as many as the source has (got 11): ")


def test_a_sealed_part_to_validate_on_must_be_there(refused: Refused) -> None:
    """A source without one is refused, with what to do."""
    text = refused(lambda: split(_dataset([5, 5]), DataSpec(source="x", sealed="validation"), seed=0))
    assert text.startswith(
        'data.sealed: only a source that keeps a part of its own can validate on it (got "x"): '
    )


def _with_column(sizes: list[int], values: Any) -> Dataset:
    return replace(_dataset(sizes), split_column=np.array(values))


@given(
    groups=st.lists(st.integers(0, 9), min_size=30, max_size=80),
    folds=st.integers(2, 4),
    test=st.sampled_from([0.0, 0.2]),
    seed=_SEEDS,
)
def test_groups_stay_in_one_part(groups: list[int], folds: int, test: float, seed: int) -> None:
    """No two parts of a split or of a fold share a group, and together they have every row once."""
    assume(len(set(groups)) >= folds + 2)
    dataset = _with_column([len(groups)], groups)
    spec = DataSpec(source="x", group="g", test_fraction=test)
    splits = [split(dataset, spec, seed=seed), *split_folds(dataset, replace(spec, folds=folds), seed=seed)]
    for parts in splits:
        assert sorted(chain(*_parts(parts))) == list(range(len(groups)))
        of_parts = [{groups[row] for row in rows} for rows in _parts(parts)]
        assert sum(map(len, of_parts)) == len(set(groups))
    validated = sorted(chain(*(parts.validation.tolist() for parts in splits[1:])))
    assert validated == sorted(set(range(len(groups))) - set(splits[1].test.tolist()))


@pytest.mark.parametrize("stratify", [False, True])
@pytest.mark.parametrize("test", [0.0, 0.25])
def test_folds_are_those_of_scikit_learn(*, stratify: bool, test: float) -> None:
    """Folds have the sizes of KFold, and the classes of StratifiedKFold to within one row; the test part is apart."""
    dataset = _dataset([23, 31, 49])
    spec = DataSpec(source="x", folds=4, stratify=stratify, test_fraction=test)
    folds = split_folds(dataset, spec, seed=5)
    assert len({tuple(parts.test.tolist()) for parts in folds}) == 1
    for parts in folds:
        assert sorted(chain(*_parts(parts))) == list(range(103))
    rest = 103 - len(folds[0].test)
    sizes = sorted(len(parts.validation) for parts in folds)
    assert sizes == sorted(len(rows) for _, rows in KFold(4).split(np.zeros(rest)))
    if stratify:
        counts = np.array([np.bincount(dataset.targets[parts.validation], minlength=3) for parts in folds])
        assert np.ptp(counts, axis=0).max() <= 1


def test_folds_by_time_are_those_of_scikit_learn() -> None:
    """With different times, the folds are those of TimeSeriesSplit on the ordered rows."""
    times = np.random.default_rng(3).permutation(47)
    dataset = _with_column([47], times)
    folds = split_folds(dataset, DataSpec(source="x", time="t", folds=4), seed=1)
    ordered = np.argsort(times)
    for parts, (training, validation) in zip(folds, TimeSeriesSplit(4).split(np.zeros(47)), strict=True):
        assert parts.training.tolist() == ordered[training].tolist()
        assert parts.validation.tolist() == ordered[validation].tolist()


def test_rows_of_one_time_are_in_the_later_part() -> None:
    """Validation and test have the latest rows; equal times stay together, so a later part may be larger."""
    times = [0, 0, 1, 1, 2, 2, 2, 3, 3, 3]
    spec = DataSpec(source="x", time="t", validation_fraction=0.2, test_fraction=0.2)
    parts = split(_with_column([10], times), spec, seed=4)
    assert _parts(parts) == [[0, 1, 2, 3], [4, 5, 6], [7, 8, 9]]
    (first, second) = split_folds(_with_column([10], times), DataSpec(source="x", time="t", folds=2), seed=4)
    assert _parts(first) == [[0, 1, 2, 3], [4, 5, 6], []]
    assert _parts(second) == [[0, 1, 2, 3, 4, 5, 6], [7, 8, 9], []]


@pytest.mark.parametrize(
    ("spec", "values", "message"),
    [
        (DataSpec(source="x", folds=9), None, "data.folds: every fold must have an example to validate on"),
        (
            DataSpec(source="x", folds=4, stratify=True),
            None,
            "data.stratify: every class must have at least 4",
        ),
        (
            DataSpec(source="x", folds=4, group="g"),
            [1, 2, 3] * 2,
            "data.group: there must be at least one group",
        ),
        (
            DataSpec(source="x", folds=4, time="t"),
            [1, 2, 2, 2, 2, 3],
            "data.folds: the times must differ enough",
        ),
        (DataSpec(source="x", time="t"), [1] * 6, "data.time: at least 2 examples must be left for training"),
    ],
)
def test_splits_that_cannot_be_drawn(refused: Refused, spec: DataSpec, values: Any, message: str) -> None:
    """Too few rows, groups, times or rows of a class are errors."""
    dataset = _dataset([3, 3]) if values is None else _with_column([3, 3], values)
    drawn = split_folds if spec.folds else split
    assert refused(lambda: drawn(dataset, spec, seed=1)).startswith(message)
