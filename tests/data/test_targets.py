"""The meaning of targets."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from hpsearch.data.targets import resolve_targets

Refused = Callable[[Callable[[], object]], str]


@pytest.mark.parametrize(
    ("raw", "classes", "indices"),
    [
        (np.array(["wet", "dry", "wet", "dry"]), ("dry", "wet"), [1, 0, 1, 0]),
        (np.array([3, -1, 3, -1]), ("-1", "3"), [1, 0, 1, 0]),
        (np.array([10.0, 9.0, 9.0, 10.0]), ("9", "10"), [1, 0, 0, 1]),
        (np.array([True, False, True]), ("False", "True"), [1, 0, 1]),
        (np.array([[2], [1], [2]], dtype=np.uint8), ("1", "2"), [1, 0, 1]),
        (np.array([b"b", b"a", b"a"]), ("a", "b"), [1, 0, 0]),
    ],
)
def test_text_and_whole_numbers_are_sorted_classes(
    raw: NDArray[np.generic], classes: tuple[str, ...], indices: list[int]
) -> None:
    """Without a task, text and whole numbers are classes: sorted, numbers by size, indexed by int64."""
    targets = resolve_targets(raw, task="auto", where="x")
    assert (targets.task, targets.classes) == ("classification", classes)
    assert targets.values.dtype == np.int64
    assert targets.values.tolist() == indices


def test_other_numbers_are_regression() -> None:
    """Without a task, numbers of which one is not whole are one column of float64."""
    targets = resolve_targets(np.array([1.0, 2.5], dtype=np.float32), task="auto", where="x")
    assert (targets.task, targets.classes) == ("regression", ())
    assert targets.values.dtype == np.float64
    assert targets.values.tolist() == [[1.0], [2.5]]


def test_huge_numbers_are_regression() -> None:
    """Floating numbers beyond 2**53 are whole by their nature, and no classes for that."""
    assert resolve_targets(np.array([1e300, 2e300] * 2), task="auto", where="x").task == "regression"


def test_several_columns_are_regression() -> None:
    """Without a task, several columns are regression, even of whole numbers, unless each row has one 1 among 0."""
    targets = resolve_targets(np.array([[1, 0], [1, 1], [1, 0]]), task="auto", where="x")
    assert targets.task == "regression"
    assert targets.values.shape == (3, 2)


def test_an_outright_task_is_believed() -> None:
    """A task that is given wins over the rule, whatever the values look like."""
    assert resolve_targets(np.arange(5), task="regression", where="x").values[4] == [4.0]
    fractions = resolve_targets(np.array([0.5, 1.5, 0.5]), task="classification", where="x")
    assert fractions.classes == ("0.5", "1.5")
    assert len(resolve_targets(np.arange(5000), task="classification", where="x").classes) == 5000


def test_two_classes_are_plausible_however_few_the_examples() -> None:
    """Two classes of one and two examples are taken for classes."""
    assert resolve_targets(np.array([0, 1, 1]), task="auto", where="x").classes == ("0", "1")


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        (np.arange(5).repeat([2, 2, 2, 2, 1]), 5),
        (np.arange(21).repeat(4), 21),
        (np.arange(1001).repeat(6), 1001),
    ],
)
def test_whole_numbers_that_look_like_measurements_are_refused(
    values: NDArray[np.int64], classes: int, refused: Refused
) -> None:
    """If there are too many whole numbers for the examples, the error asks for the task."""
    assert refused(lambda: resolve_targets(values, task="auto", where="t.csv")) == (
        "t.csv: targets that are whole numbers are classes, and a class must have several examples"
        f" (got {classes} different values in {len(values)} examples): set data.task = "
        '"regression", or data.task = "classification" if these are classes'
    )


@pytest.mark.parametrize(
    "values", [np.arange(5).repeat(2), np.arange(21).repeat(5), np.arange(1000).repeat(5)]
)
def test_the_bounds_of_plausible_classes_are_inside(values: NDArray[np.int64]) -> None:
    """2 examples per class up to 20 classes, 5 up to 1000 classes, are still classes."""
    assert resolve_targets(values, task="auto", where="x").task == "classification"


def test_text_that_names_single_rows_is_refused(refused: Refused) -> None:
    """A column of names of rows is no target."""
    names = np.array(["Ann", "Bob", "Cid"])
    assert refused(lambda: resolve_targets(names, task="auto", where="t.csv")) == (
        "t.csv: targets that are text are classes, and a class must have several examples"
        " (got 3 different values in 3 examples): name another column as data.target,"
        ' or data.task = "classification" if these are classes'
    )


def test_one_class_is_refused(refused: Refused) -> None:
    """There is nothing to learn from one class."""
    assert refused(lambda: resolve_targets(np.array(["a", "a"]), task="auto", where="t.csv")) == (
        't.csv: there must be at least two classes (got "a" alone, in all 2 examples):'
        " add examples of another class, or name another target"
    )


def test_text_is_no_regression(refused: Refused) -> None:
    """Text cannot be the target of a regression."""
    assert refused(lambda: resolve_targets(np.array(["a", "b"]), task="regression", where="t.csv")) == (
        't.csv: targets of a regression must be numbers (got "a"):'
        ' give numbers, or set data.task = "classification"'
    )


def test_classes_have_one_column(refused: Refused) -> None:
    """Several columns cannot be classes."""
    assert refused(lambda: resolve_targets(2 * np.eye(3), task="classification", where="x.npz")) == (
        "x.npz: classes must be in one column (got 3 columns):"
        ' give one class per example, or set data.task = "regression"'
    )


def test_targets_are_finite(refused: Refused) -> None:
    """A target that is NaN or infinite is refused, with its row and how many there are."""
    targets = np.array([1.5, np.inf, np.nan])
    assert refused(lambda: resolve_targets(targets, task="auto", where="t.csv")) == (
        "t.csv: row 2: targets must be finite (got inf; 2 such in all): fill or drop these rows"
    )
    several = np.array([[0.0, 1.0], [2.0, np.nan]])
    assert refused(lambda: resolve_targets(several, task="regression", where="x.npz")) == (
        "x.npz: row 2: targets must be finite (got nan; 1 such in all): fill or drop these rows"
    )


@pytest.mark.parametrize("raw", [np.zeros((2, 2, 2)), np.array([1j, 2j]), np.array(["2020-01-01"], "M8[D]")])
def test_targets_are_numbers_or_text(raw: NDArray[np.generic], refused: Refused) -> None:
    """Complex numbers, dates and arrays of more axes are no targets."""
    assert refused(lambda: resolve_targets(raw, task="auto", where="x.npz")) == (
        f"x.npz: targets must be one number or text per example (got dtype {raw.dtype} and shape"
        f" {raw.shape}): give one column of numbers or text"
    )


def test_numbers_that_are_all_the_same_are_refused(refused: Refused) -> None:
    """There is nothing to learn from constant targets, in one column or several."""
    text = "t.csv: targets of a regression must differ (got {} for all {} examples): name another column as data.target"
    constant, several = np.full(50, 1.5), np.full((3, 2), 0.5)
    assert refused(lambda: resolve_targets(constant, task="auto", where="t.csv")) == text.format(1.5, 50)
    assert refused(lambda: resolve_targets(several, task="regression", where="t.csv")) == text.format(0.5, 3)
    varied = np.array([[0.5, 1.0], [0.5, 1.5]])
    assert resolve_targets(varied, task="auto", where="t.csv").task == "regression"


def test_rows_of_one_hot_are_classes() -> None:
    """Rows of one 1 among 0 are the classes of their places unless the task is regression, and a note says so."""
    rows = np.eye(4)[np.arange(40) % 3]
    targets = resolve_targets(rows, task="auto", where="x.npz")
    assert (targets.task, targets.classes) == ("classification", ("0", "1", "2", "3"))
    assert targets.values.tolist() == [i % 3 for i in range(40)]
    assert targets.notes == (
        (
            "data.task: targets are 4 classes, because each row has one 1 among 0:"
            ' if they are numbers, set data.task = "regression"'
        ),
    )
    assert not resolve_targets(rows.astype(np.uint8), task="classification", where="x.npz").notes
    assert resolve_targets(rows, task="regression", where="x.npz").values.shape == (40, 4)
    for other in (rows * 2, rows[:, :2], np.ones((4, 2))):
        assert resolve_targets(np.r_[other, other[:1] + 1], task="auto", where="x").task == "regression"


def test_one_hot_rows_have_two_classes(refused: Refused) -> None:
    """There is nothing to learn if every row has its 1 in one place."""
    rows = np.eye(3)[np.ones(5, int)]
    assert refused(lambda: resolve_targets(rows, task="auto", where="x.npz")) == (
        'x.npz: there must be at least two classes (got "1" alone, in all 5 examples):'
        " add examples of another class, or name another target"
    )


def _counts(mean: float) -> NDArray[np.int64]:
    return np.random.Generator(np.random.PCG64(3)).poisson(mean, 3000)


@pytest.mark.parametrize(
    "values",
    [
        _counts(100.0),
        _counts(15.0).astype(float),
        np.arange(18, 81).repeat(10),
        np.random.Generator(np.random.PCG64(5)).integers(0, 101, 3000),
        np.arange(600) * 1001 + 50_000,
        (np.arange(600) % 15) * 5000 + 150_000,
    ],
    ids=["counts", "small counts", "ages", "scores", "different prices", "prices in steps"],
)
def test_counts_and_amounts_are_regression(values: NDArray[np.generic]) -> None:
    """Many whole numbers that are no codes, or far apart, are numbers; the note tells how to make them classes."""
    targets = resolve_targets(values, task="auto", where="x")
    assert targets.task == "regression"
    assert targets.notes[0].startswith("data.task: targets are numbers (regression), because ")
    assert targets.notes[0].endswith('if they are classes, set data.task = "classification"')
    assert resolve_targets(values, task="classification", where="x").task == "classification"


@pytest.mark.parametrize(
    "values",
    [np.arange(26).repeat(20), np.arange(1, 103).repeat(7), np.arange(3, 10).repeat(90), np.arange(600) % 2],
)
def test_codes_of_classes_are_classes(values: NDArray[np.int64]) -> None:
    """Balanced codes from 0 or 1 without gaps, and few numbers, are classes; more than 10 with a note."""
    targets = resolve_targets(values, task="auto", where="x")
    assert targets.task == "classification"
    assert len(targets.notes) == (len(targets.classes) > 10)
    assert all(
        note.endswith('if they are counts or amounts, set data.task = "regression"') for note in targets.notes
    )


@pytest.mark.parametrize(
    ("texts", "example", "plain"),
    [
        (["0,5", "1,0"], "0,5", "0.5"),
        (["$200,000", "$350,000"], "$200,000", "200000"),
        (["12%", "8 %"], "12%", "12"),
        (["1,000", "12"], "1,000", "1000"),
        (["1.234,5", "2.345,5"], "1.234,5", "1234.5"),
        (["1 000", "2 000"], "1 000", "1000"),
        (["1_000", "2_000"], "1_000", "1000"),
        (["3 €", "4 €"], "3 €", "3"),
        (["1,00,000", "2,00,000"], "1,00,000", "100000"),
    ],
)
def test_numbers_in_another_notation_are_no_classes(
    texts: list[str], example: str, plain: str, refused: Refused
) -> None:
    """Decimal commas, separators of thousands, currencies and percent are refused with the number to write."""
    column = np.array(texts * 30)
    column[1] = column[0]
    assert refused(lambda: resolve_targets(column, task="auto", where="t.csv")).startswith(
        f't.csv: targets that are numbers must be written in digits with a decimal point (got "{example}"; '
    )
    assert f": write {plain}, or set data.task" in refused(
        lambda: resolve_targets(column, task="auto", where="t.csv")
    )
    assert refused(lambda: resolve_targets(column, task="regression", where="t.csv")) == (
        f't.csv: targets of a regression must be numbers (got "{example}"): write {plain},'
        ' or set data.task = "classification"'
    )
    assert len(resolve_targets(column, task="classification", where="t.csv").classes) == 2


@pytest.mark.parametrize(
    "texts", [["10-20", "20-30"], ["1st", "2nd"], ["01.02.2020", "02.02.2020"], ["1.2.3", "v2"]]
)
def test_names_with_digits_are_classes(texts: list[str]) -> None:
    """Ranges, ordinals, dates and versions are no numbers."""
    assert resolve_targets(np.array(texts * 5), task="auto", where="t.csv").classes == tuple(texts)


def test_numbers_but_for_a_few_are_refused(refused: Refused) -> None:
    """One text among many numbers does not make them classes."""
    texts = np.array([*(str(i / 4) for i in range(99)), "12.5x"])
    assert refused(lambda: resolve_targets(texts, task="auto", where="t.csv")) == (
        't.csv: targets must be all numbers or all classes (got "12.5x" in 1 of 100 rows, and numbers in the others):'
        ' correct these rows, or set data.task = "classification" if all are classes'
    )


def test_classes_that_look_like_mistakes_are_noted() -> None:
    """Names that differ in case or spaces only, and classes of one example, are named."""
    texts = np.array(["Ham", "ham", "not spam", "not  Spam"] * 9 + ["rare"])
    assert resolve_targets(texts, task="auto", where="t.csv").notes == (
        (
            'data.target: classes differ in case or spaces only (got "Ham" (9), "ham" (9)):'
            " write them in one way if they are one class"
        ),
        (
            'data.target: classes differ in case or spaces only (got "not  Spam" (9), "not spam" (9)):'
            " write them in one way if they are one class"
        ),
        (
            'data.target: a class must have two examples to be learned and validated (got one of "rare"):'
            " add examples, or drop these rows"
        ),
    )
