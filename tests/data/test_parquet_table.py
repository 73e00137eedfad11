"""Parquet tables."""

import sys
from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpsearch.data.parquet_table import read_parquet
from hpsearch.data.table import TableReading
from hpsearch.installation import install_command

pa = pytest.importorskip("pyarrow", reason="the extra parquet is not installed")
parquet = pytest.importorskip("pyarrow.parquet")

Refused = Callable[[Callable[[], object]], str]


def _written(folder: Path, columns: Mapping[str, Any]) -> Path:
    path = folder / "t.parquet"
    parquet.write_table(pa.table(dict(columns)), path)
    return path


def test_every_kind_of_number_is_read(tmp_path: Path) -> None:
    """Whole, decimal, floating and boolean columns become float64, in the order of the file."""
    columns = {
        "a": pa.array([1, 2], pa.int16()),
        "b": pa.array([0.5, 1.5], pa.float32()),
        "c": [True, False],
        "d": [Decimal("1.25"), Decimal("2.50")],
        "kind": ["x", "y"],
    }
    raw = read_parquet(_written(tmp_path, columns), target=None)
    assert raw.inputs.tolist() == [[1, 0.5, 1, 1.25], [2, 1.5, 0, 2.5]]
    assert raw.inputs.dtype == np.float64
    assert raw.targets.tolist() == ["x", "y"]
    assert raw.features == ("a", "b", "c", "d")


def test_the_target_can_be_named_and_categorical(tmp_path: Path) -> None:
    """A named column is the target; a dictionary-encoded one is text."""
    columns = {"kind": pa.array(["x", "y"]).dictionary_encode(), "a": [1, 2]}
    raw = read_parquet(_written(tmp_path, columns), target="kind")
    assert raw.targets.tolist() == ["x", "y"]
    assert raw.inputs.tolist() == [[1.0], [2.0]]


def test_an_unknown_target_is_refused(tmp_path: Path, refused: Refused) -> None:
    """A target that no column has gets the nearest name."""
    path = _written(tmp_path, {"height": [1], "kind": ["x"]})
    assert refused(lambda: read_parquet(path, target="kinds")) == (
        f'{path}: data.target must name one column (got "kinds", of which there are 0): did you mean "kind"?'
    )


def test_a_missing_number_is_refused(tmp_path: Path, refused: Refused) -> None:
    """A null is named by column and row, and all of the column's are counted."""
    path = _written(tmp_path, {"a": [1.0, None, None], "b": [1, 2, 1]})
    assert refused(lambda: read_parquet(path, target=None, reading=TableReading(types="numbers"))) == (
        f'{path}: row 2, column "a": a number is missing (got "null"; 2 such in all): fill it, or drop the row,'
        ' or leave it out with data.drop = ["a"]'
    )


def test_a_missing_target_is_refused(tmp_path: Path, refused: Refused) -> None:
    """A null is not a class."""
    path = _written(tmp_path, {"a": [1.0, 2.0], "b": ["x", None]})
    assert refused(lambda: read_parquet(path, target=None)) == (
        f'{path}: row 2, column "b": a target is missing (got null): fill it, or drop the row'
    )


@pytest.mark.parametrize("value", ["red", date(2020, 1, 1)])
def test_text_among_the_inputs_is_refused(value: object, tmp_path: Path, refused: Refused) -> None:
    """A column of text or dates is named with its first value."""
    path = _written(tmp_path, {"a": [1, 2], "b": [value] * 2, "c": [1, 0]})
    assert refused(lambda: read_parquet(path, target=None, reading=TableReading(types="numbers"))) == (
        f'{path}: row 1, column "b": inputs must be numbers (got "{value}"; 2 such in all):'
        ' encode the column as numbers, or leave it out with data.drop = ["b"]'
    )


def test_an_empty_table_is_refused(tmp_path: Path, refused: Refused) -> None:
    """Columns without rows are no data."""
    path = _written(tmp_path, {"a": pa.array([], pa.int64()), "b": pa.array([], pa.int64())})
    assert refused(lambda: read_parquet(path, target=None)) == (
        f"{path}: a table must hold at least one row (got none): give it data"
    )


def test_another_format_is_refused(tmp_path: Path, refused: Refused) -> None:
    """A file that only has the name of a Parquet file is refused with pyarrow's reason."""
    path = tmp_path / "t.parquet"
    path.write_bytes(b"a,b\n1,2\n")
    text = refused(lambda: read_parquet(path, target=None))
    assert text.startswith(f'{path}: must be a Parquet file (got "Parquet magic bytes not found in footer.')
    assert text.endswith('"): write it again')


def test_without_pyarrow_the_extra_is_named(
    tmp_path: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If pyarrow is missing the message states how to get it."""
    path = _written(tmp_path, {"a": [1], "b": [1]})
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert refused(lambda: read_parquet(path, target=None)) == (
        f"{path}: Parquet files need pyarrow (got none): {install_command('parquet')}"
    )


def test_all_problems_are_reported_at_once(tmp_path: Path, refused: Refused) -> None:
    """Text, nulls, infinite numbers and a target in another notation come in one error, by row, column and number."""
    columns = {
        "sex": ["m", "f"] * 10,
        "age": [None, *range(19)],
        "rate": [float("inf"), *map(float, range(19))],
        "price": [f"${i % 4 + 1},000" for i in range(20)],
    }
    path = _written(tmp_path, columns)
    assert refused(lambda: read_parquet(path, target=None, reading=TableReading(types="numbers"))) == (
        f"{path}: 4 problems\n"
        '  row 1, column "sex": inputs must be numbers (got "m"; 20 such in all): encode the column as numbers,'
        ' or leave it out with data.drop = ["sex"]\n'
        '  row 1, column "age": a number is missing (got "null"): fill it, or drop the row\n'
        '  row 1, column "rate": inputs must be numbers (got "inf"): write a finite number,'
        " or drop the row\n"
        '  column "price": targets that are numbers must be written in digits with a decimal point (got "$1,000";'
        ' 20 such in all): write 1000, or set data.task = "classification" if these are classes'
    )


@pytest.mark.parametrize("name", ["__index_level_0__", "Unnamed: 0"])
@pytest.mark.parametrize("kind", [int, str])
def test_the_index_of_pandas_is_no_input(name: str, kind: type[object], tmp_path: Path) -> None:
    """A column that stands for the index of a data frame is left out with a note, unless `drop` is empty."""
    columns = {
        "a": [i / 3 for i in range(30)],
        "y": [i % 2 for i in range(30)],
        name: list(map(kind, range(30))),
    }
    raw = read_parquet(_written(tmp_path, columns), target="y")
    assert raw.features == ("a",)
    (note,) = raw.notes
    assert f'column "{name}" has no name' in note
    if kind is int:
        assert read_parquet(
            _written(tmp_path, columns), target="y", reading=TableReading(drop=())
        ).features == ("a", name)
    assert (
        read_parquet(_written(tmp_path, columns), target="y", reading=TableReading(drop=(name,))).notes == ()
    )
