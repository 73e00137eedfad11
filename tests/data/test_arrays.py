"""Data that a program passes as arrays or data frames."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse

from hpsearch.data.arrays import ArrayData, read_arrays
from hpsearch.data.dataset import dataset_from
from hpsearch.data.encoding import InputColumn

Refused = Callable[[Callable[[], object]], str]

FRAMES = [pd.DataFrame, pl.DataFrame]


@pytest.mark.parametrize("frame", FRAMES)
def test_a_data_frame_is_read_by_its_columns(frame: Callable[[Any], Any]) -> None:
    """The target's column is text or numbers, all other columns are float64 inputs with their names."""
    table = frame({"age": [3, 4, 5], "kind": ["a", "b", "a"], "old": [True, False, True], "x": [0.5, 1.5, 2]})
    raw = read_arrays(table, target="kind")
    assert raw.inputs.tolist() == [[3, 1, 0.5], [4, 0, 1.5], [5, 1, 2]]
    assert raw.inputs.dtype == np.float64
    assert raw.features == ("age", "old", "x")
    assert raw.targets.tolist() == ["a", "b", "a"]
    assert raw.targets.dtype.kind == "U"
    assert not raw.is_image
    assert raw.origin == 'a data frame of 3 rows, target "kind"'


@pytest.mark.parametrize("frame", FRAMES)
def test_the_last_column_is_the_target_by_default(frame: Callable[[Any], Any]) -> None:
    """Without a name the last column is the target, as in a file."""
    raw = read_arrays(frame({"x": [1.0, 2.0, 3.0], "y": [0.5, 1.5, 0.25]}))
    assert raw.features == ("x",)
    assert raw.targets.tolist() == [0.5, 1.5, 0.25]


@pytest.mark.parametrize("frame", FRAMES)
def test_every_bad_column_is_named(frame: Callable[[Any], Any], refused: Refused) -> None:
    """One error lists numbers in another notation, infinite inputs, and missing targets, by column and row."""
    table = frame(
        {
            "price": ["$1", "$2", "$3"],
            "age": [1.0, np.nan, np.nan],
            "rate": [1.0, 2.0, -np.inf],
            "fine": [1, 2, 3],
            "kind": ["a", None, "b"],
        }
    )
    text = refused(lambda: read_arrays(table)).splitlines()
    assert text[:4] == [
        "data: 3 problems",
        (
            '  row 1, column "price": inputs must be numbers in digits (got "$1"; 3 such in all): write 1,'
            ' or leave it out with data.drop = ["price"]'
        ),
        (
            '  row 3, column "rate": inputs must be numbers (got "-inf"): write a finite number,'
            ' or leave it out with data.drop = ["rate"]'
        ),
        text[3],
    ]
    assert text[3].startswith('  column "kind": row 2: a target is missing (got "')
    assert len(text) == 4


def test_long_lists_of_problems_are_cut(refused: Refused) -> None:
    """An error lists 30 problems and counts the rest."""
    table = pd.DataFrame({f"c{i}": ["$5"] * 4 for i in range(40)} | {"y": [0, 1, 0, 1]})
    text = refused(lambda: read_arrays(table)).splitlines()
    assert (text[0], len(text), text[-1]) == ("data: 40 problems", 32, "  and 10 more")


def test_pandas_kinds_of_columns() -> None:
    """Nullable, categorical and object columns are read by their values; names need not be text or unique."""
    table = pd.DataFrame(
        {
            "i": pd.array([1, 2, 3], dtype="Int64"),
            "o": np.array([1, 2.5, True], dtype=object),
            "d": [Decimal("0.5"), Decimal(1), Decimal(2)],
            "c": pd.Categorical(["x", "y", "x"]),
        }
    )
    table.columns = pd.Index(["same", "same", 7, "c"])
    raw = read_arrays(table, target="c")
    assert raw.inputs.tolist() == [[1, 1, 0.5], [2, 2.5, 1], [3, 1, 2]]
    assert raw.features == ("same", "same", "7")
    assert raw.targets.tolist() == ["x", "y", "x"]


@pytest.mark.parametrize(
    "column",
    [
        pd.DataFrame({"a": pd.array([1, None, 3], dtype="Int64"), "y": [0, 1, 0]}),
        pd.DataFrame({"a": np.array([1, None, 3], dtype=object), "y": [0, 1, 0]}),
        pd.DataFrame({"a": pd.array([True, pd.NA, False], dtype="boolean"), "y": [0, 1, 0]}),
        pl.DataFrame({"a": [1, None, 3], "y": [0, 1, 0]}),
        pl.DataFrame({"a": [True, None, False], "y": [0, 1, 0]}),
    ],
)
def test_missing_numbers_of_any_kind_are_found(column: ArrayData) -> None:
    """None, NaN and NA are missing numbers, to be filled."""
    raw = read_arrays(column)
    assert np.isnan(raw.inputs).tolist() == [[False], [True], [False]]
    assert raw.columns == (InputColumn(name="a"),)


@pytest.mark.parametrize("frame", FRAMES)
def test_columns_of_text_and_dates_are_described(frame: Callable[[Any], Any]) -> None:
    """A data frame means the same as the table that it would be in a file."""
    table = frame(
        {
            "city": ["Rome", None, "Bern", "Rome"],
            "joined": [date(2024, 2, 29), date(1970, 1, 2), None, date(1970, 1, 1)],
            "at": [datetime(1970, 1, day, 12 * (day == 1), tzinfo=UTC) for day in (1, 2, 3, 4)],
            "name": ["a", "b", "c", "d"],
            "digits": ["1", "2.5", "3", ""],
            "y": [0, 1, 0, 1],
        }
    )
    raw = read_arrays(table)
    assert raw.columns == (
        InputColumn(name="city", kind="category", categories=("Bern", "Rome")),
        InputColumn(name="joined", kind="date"),
        InputColumn(name="at", kind="date", has_times=True),
        InputColumn(name="digits"),
    )
    np.testing.assert_array_equal(raw.inputs[:, 0], [1, np.nan, 0, 1])
    np.testing.assert_array_equal(raw.inputs[:, 1], [19782 * 86400, 86400, np.nan, 0])
    np.testing.assert_array_equal(raw.inputs[:, 3], [1, 2.5, 3, np.nan])
    assert [use.name for use in raw.uses if use.use.startswith("left out")] == ["name"]


def test_names_of_mixed_columns_must_differ(refused: Refused) -> None:
    """Inputs are found by their names, so two of one name are refused, unless all are numbers."""
    table = pd.DataFrame([["a", "b", 0], ["a", "c", 1], ["d", "b", 0]], columns=["x", "x", "y"])
    assert refused(lambda: read_arrays(table)) == (
        'data: every column must have its own name (got 2 called "x"): rename them'
    )


def test_other_columns_are_refused_by_a_value(refused: Refused) -> None:
    """Lists are no cells of a table."""
    lists = pl.DataFrame({"a": [[1], [2]], "y": [0, 1]})
    assert 'row 1, column "a": inputs must be numbers (got "[1]"; 2' in refused(lambda: read_arrays(lists))


def test_a_wrong_target_gets_the_nearest_name(refused: Refused) -> None:
    """A target that no column has is refused, with the nearest name."""
    table = pl.DataFrame({"x": [1, 2], "species": ["a", "b"]})
    assert refused(lambda: read_arrays(table, target="specie")) == (
        'data: data.target must name one column (got "specie", of which there are 0): did you mean "species"?'
    )


def test_a_pair_of_arrays_is_taken_as_it_is() -> None:
    """Arrays keep their types; bytes and more than one axis per example are images."""
    x, y = np.ones((4, 3), np.float32), np.array([0, 1, 0, 1])
    raw = read_arrays((x, y))
    assert raw.inputs is x
    assert raw.targets is y
    assert not raw.is_image
    assert raw.origin == "arrays X (4, 3) and y (4,)"
    assert read_arrays((x.astype(np.uint8), y)).is_image
    assert read_arrays((np.ones((4, 2, 2)), y)).is_image


def test_lists_series_and_frames_are_arrays_too() -> None:
    """X and y may be nested lists, Series, or data frames, of which X names the inputs."""
    assert read_arrays(([[1, 2], [3, 4]], [0, 1])).inputs.tolist() == [[1, 2], [3, 4]]
    x = pd.DataFrame({"a": [1, 2, 3], "b": [0.5, 1, 2]})
    raw = read_arrays((x, pd.Series(["u", "v", "u"])))
    assert raw.features == ("a", "b")
    assert raw.targets.tolist() == ["u", "v", "u"]
    assert read_arrays((pl.DataFrame(x.to_dict("list")), pl.Series([1, 0, 1]))).targets.tolist() == [1, 0, 1]
    several = read_arrays((x, pd.DataFrame({"s": [1.5, 2, 3], "t": [1, 2, 4]})))
    assert several.targets.tolist() == [[1.5, 1], [2, 2], [3, 4]]


@pytest.mark.parametrize(
    ("y", "classes"),
    [
        ([True, False, True, False], ("False", "True")),
        (np.array(["b", "a", "b", "a"], dtype=object), ("a", "b")),
        (np.array(["b", "a", "b", "a"], dtype=np.dtypes.StringDType()), ("a", "b")),
        (np.array([b"b", b"a", b"b", b"a"]), ("a", "b")),
        (np.array([2, 1, 2, 1], dtype=object), ("1", "2")),
        ([2.0, 1.0, 2.0, 1.0], ("1", "2")),
        (np.array([1, "a", 1, "a"], dtype=object), ("1", "a")),
        (np.array([0, True, 0, True], dtype=object), ("0", "1")),
    ],
)
def test_targets_of_any_kind_are_classes(y: Any, classes: tuple[str, ...]) -> None:
    """Text, booleans and whole numbers are classes, also as Python objects."""
    raw = read_arrays((np.ones((4, 1)), y))
    assert dataset_from(raw, name="data", task="auto").classes == classes


def test_the_task_decides_about_targets(refused: Refused) -> None:
    """Whole numbers that differ in every row are no classes unless the task makes them numbers."""
    x, y = np.ones((30, 2)), np.arange(30)
    assert refused(lambda: read_arrays((x, y))).startswith(
        "data: y: targets that are whole numbers are classes"
    )
    assert read_arrays((x, y), task="regression").targets is y


def test_all_problems_of_arrays_are_named(refused: Refused) -> None:
    """Problems of X, of y, of their lengths and of the target come together."""
    x, y = np.array([[1.0, np.nan], [np.inf, 2], [3, 4]]), np.array([1.0, np.nan])
    assert refused(lambda: read_arrays((x, y), target="kind")) == (
        "data: 4 problems\n"
        "  X: row 1, column 2: inputs must be finite (got nan; 2 such in all): fill or drop these rows\n"
        "  y: row 2: targets must be finite (got nan; 1 such in all): fill or drop these rows\n"
        "  X and y: there must be one target per example (got 3 examples and 2 targets): make them equally long\n"
        '  target: is for data frames (got "kind" with X and y): leave it out'
    )


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (
            np.array([["$1", "1"], ["$2", "2"]]),
            'X: row 1, column 1: inputs must be numbers in digits (got "$1"; 2 such in all): write 1, or drop it',
        ),
        (np.zeros((0, 3)), "data: 2 problems\n  X: there must be at least one example with one input"),
        (np.zeros(0, object), "data: 2 problems\n  X: there must be at least one example with one input"),
        (
            [[1, 2], [3]],
            "data: X: must be an array with one entry per example (got list, of which NumPy makes none:",
        ),
        (
            sparse.csr_matrix([[1, 0], [0, 1]]),
            "data: X: must be an array with one entry per example (got scipy csr_matrix): convert it to a",
        ),
        (5, "data: X: must be an array with one entry per example (got int)"),
        (
            np.ma.array([[1.0], [2.0]], mask=[[False], [True]]),
            "data: X: no value may be masked (got 1): fill them, or drop their rows",
        ),
        (
            np.ones((2, 1), complex),
            'X: row 1, column 1: inputs must be numbers (got "(1+0j)"; 2 such in all)',
        ),
    ],
)
def test_inputs_that_are_no_numbers(x: Any, expected: str, refused: Refused) -> None:
    """Text, missing values, emptiness, ragged lists, sparse matrices, scalars and masks are refused."""
    assert refused(lambda: read_arrays((x, [0, 1]))).startswith(expected)


@pytest.mark.parametrize(
    ("y", "expected"),
    [
        (["a", None], 'data: y: row 2: a target is missing (got "None"): fill it, or drop the row'),
        (np.array(["nan", "b"]), 'data: y: row 1: a target is missing (got "nan"): fill it, or drop the row'),
        ([1, 1], 'data: y: there must be at least two classes (got "1" alone'),
        (
            np.array(["2024-01-01", "2024-01-02"], "datetime64[D]"),
            "data: y: targets must be one number or text per example (got dtype datetime64[D]",
        ),
        (3, "data: y: must be an array with one entry per example (got int)"),
        (pd.DataFrame(index=[0, 1]), "data: y: must have a column (got a data frame with none)"),
    ],
)
def test_targets_that_cannot_be_learned(y: Any, expected: str, refused: Refused) -> None:
    """Missing targets, a single class, dates and scalars are refused."""
    assert refused(lambda: read_arrays((np.ones((2, 1)), y))).startswith(expected)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        ({"x": [1]}, "dict"),
        ([[1], [0]], "list"),
        ((1, 2, 3), "tuple"),
        (pl.LazyFrame({"x": [1]}), "polars LazyFrame"),
        (None, "NoneType"),
    ],
)
def test_other_objects_are_no_data(data: Any, kind: str, refused: Refused) -> None:
    """Anything but a pair or a data frame is refused by its type."""
    assert refused(lambda: read_arrays(data)) == (
        f"data: must be a pair (X, y), or a data frame of pandas or polars (got {kind}):"
        " pass the inputs and the targets as a tuple"
    )


def test_an_empty_data_frame_is_refused(refused: Refused) -> None:
    """A data frame needs a row and two columns."""
    expected = "data: a data frame must have a row, and a column for an input and one for the target (got"
    assert (
        refused(lambda: read_arrays(pd.DataFrame())) == f"{expected} 0 rows and 0 columns): pass all the data"
    )
    assert refused(lambda: read_arrays(pl.DataFrame({"y": [1]}))).startswith(
        f"{expected} 1 rows and 1 columns)"
    )
