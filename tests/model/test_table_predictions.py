"""Predictions for tables in text: columns by name, chunks, and all problems at once."""

import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from hpsearch.data.sources import load
from hpsearch.data.split import split
from hpsearch.errors import DataError, HpsearchError
from hpsearch.model import table_predictions
from hpsearch.model.table_predictions import open_predictions
from hpsearch.model.trained_model import TrainedModel
from tests.model.conftest import IRIS_CSV, write_iris

ROW = "5.1,3.5,1.4,0.2"
HEAD = "length,width,petal length,petal width"


def predicted(model: TrainedModel, text: str | Path, *, probabilities: bool = False) -> list[list[str]]:
    """Return the rows of the result, its names first."""
    path = Path("new.csv") if isinstance(text, str) else text
    if isinstance(text, str):
        path.write_text(text)
    with open_predictions(model, path, probabilities=probabilities) as found:
        return [list(found.names), *found.rows]


def refusal(model: TrainedModel, text: str) -> str:
    """Return the text of the error."""
    with pytest.raises(DataError) as raised:
        predicted(model, text)
    return str(raised.value)


def test_the_order_of_columns_does_not_matter(flowers: TrainedModel) -> None:
    """Columns are found by name, others stay in the result, and cells are those of the table."""
    expected = predicted(flowers, f"{HEAD}\n{ROW}\n", probabilities=True)
    assert expected[0] == [
        *HEAD.split(","),
        "prediction",
        *(f"probability_{c}" for c in ("setosa", "versicolor", "virginica")),
    ]
    assert expected[1][:5] == [*ROW.split(","), "setosa"]
    text = 'id;petal width; length ;note;petal length;width\n7;0.2;5.1;"a, b";1.4;3.5\n\n'
    other = predicted(flowers, text, probabilities=True)
    assert other[0][:6] == ["id", "petal width", "length", "note", "petal length", "width"]
    assert other[1] == ["7", "0.2", "5.1", "a, b", "1.4", "3.5", *expected[1][4:]]


def test_a_table_of_validation_rows_gives_the_stored_accuracy(flowers: TrainedModel) -> None:
    """Law 10, from raw text: the predictions for the rows that validation saw have the stored accuracy exactly."""
    write_iris(Path(IRIS_CSV))
    head, *lines = Path(IRIS_CSV).read_text().splitlines()
    source = load(IRIS_CSV, target="species", environment={})
    rows = split(source, flowers.spec.data, seed=flowers.spec.seed).validation
    found = predicted(flowers, "\n".join([head, *(lines[row] for row in rows)]))
    hits = [cells[-1] == cells[-2] for cells in found[1:]]
    assert sum(hits) / len(hits) == flowers.result.stored_value


def test_columns_that_are_no_inputs_are_reported(flowers: TrainedModel) -> None:
    """The target of the study, if it is there, is ignored like any other column."""
    write_iris(Path(IRIS_CSV))
    with open_predictions(flowers, Path(IRIS_CSV)) as found:
        assert found.ignored == ("species",)
        rows = list(found.rows)
    assert len(rows) == 150
    assert sum(cells[-1] == cells[-2] for cells in rows) > 100


@pytest.mark.parametrize("cells", [1, 4 * 500, 4 * 1000, 10**6])
def test_chunks_change_no_prediction(
    cells: int, flowers: TrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same predictions come from a table in one piece and in many, and from the arrays."""
    numbers = np.random.Generator(np.random.PCG64(3)).uniform(0, 8, (2100, 4)).round(2)
    monkeypatch.setattr(table_predictions, "_CELLS_AT_ONCE", cells)
    lines = [",".join(map(str, row)) for row in numbers.tolist()]
    found = predicted(flowers, "\n".join([HEAD, *lines]), probabilities=True)
    assert [cells[4] for cells in found[1:]] == flowers.predict(numbers).tolist()
    shares = np.array([cells[5:] for cells in found[1:]], np.float32)
    assert np.array_equal(shares, flowers.predict_probabilities(numbers).astype(np.float32))


def test_tables_are_read_as_those_of_a_study(flowers: TrainedModel) -> None:
    """A title line, decimal commas, also in the last column, delimiters at the ends of rows, and empty rows."""
    expected = predicted(flowers, f"{HEAD}\n{ROW}\n{ROW}\n", probabilities=True)
    rows = ["Export of flowers;;;;", HEAD.replace(",", ";"), *["5,1;3,5;1,4;0,2;"] * 2, ";;;;", ""]
    found = predicted(flowers, "\n".join(rows), probabilities=True)
    assert [cells[4:] for cells in found] == [cells[4:] for cells in expected]
    assert found[1][:4] == ["5,1", "3,5", "1,4", "0,2"]
    found = predicted(flowers, "length;width;petal length;petal width\n5;3;1;0,2\n")
    assert found[1] == ["5", "3", "1", "0,2", "setosa"]


def test_files_may_be_gzipped(flowers: TrainedModel) -> None:
    """A gzipped table is read like a plain one, and a damaged one is named."""
    path = Path("new.csv.gz")
    path.write_bytes(gzip.compress(f"{HEAD}\n{ROW}\n".encode()))
    assert predicted(flowers, path)[1][-1] == "setosa"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match="must be a whole gzip file"):
        predicted(flowers, path)


def test_tables_may_be_in_parquet(flowers: TrainedModel) -> None:
    """The result is that of a CSV file; missing values and text are named with their rows."""
    path = Path("new.parquet")
    columns: dict[str, list[object]] = {
        "note": ["x", None],
        "petal width": [0.2, 2.3],
        "length": [5, 7],
        "width": [True, False],
        "petal length": [1.4, 5.2],
    }
    parquet.write_table(pa.table(columns), path)
    text = f"{HEAD}\n5,1,1.4,0.2\n7,0,5.2,2.3\n"
    expected = [cells[4:] for cells in predicted(flowers, text, probabilities=True)]
    found = predicted(flowers, path, probabilities=True)
    assert [cells[5:] for cells in found] == expected
    assert [cells[0] for cells in found] == ["note", "x", ""]
    parquet.write_table(pa.table(columns | {"length": [None, 7], "width": ["a", "b"]}), path)
    with pytest.raises(DataError) as raised:
        predicted(flowers, path)
    assert str(raised.value).splitlines() == [
        "new.parquet: 2 problems",
        '  row 1, column "length": a number is missing (got ""): fill it, or drop the row',
        '  row 1, column "width": inputs must be numbers, as in the study (got "a"; 2 such in all): write a number',
    ]
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match="must be a Parquet file"):
        predicted(flowers, path)


def test_all_missing_columns_are_named(flowers: TrainedModel) -> None:
    """Every input without a column is in one error, with a column of a similar name if there is one."""
    none = "must be there, an input of the model (got none of that name)"
    assert refusal(flowers, "length,widht,petal_length,x\n1,2,3,4\n").splitlines() == [
        "new.csv: 3 problems",
        f'  column "width": {none}: did you mean "widht"?',
        f'  column "petal length": {none}: did you mean "petal_length"?',
        f'  column "petal width": {none}: add it',
    ]
    assert refusal(flowers, f"{HEAD},width\n{ROW},1\n") == (
        'new.csv: column "width": must be there once (got 2 of that name): rename the others'
    )


def test_inputs_that_share_a_name_are_in_the_order_of_the_study(flowers: TrainedModel) -> None:
    """A study of a table with equal names predicts for a table with the same ones."""
    shared = replace(flowers.preprocessing, features=("size", "width", "size", "width"))
    model = replace(flowers, preprocessing=shared)
    numbers = np.array([[5.1, 3.5, 1.4, 0.2]])
    found = predicted(model, "size,size,width,width\n5.1,1.4,3.5,0.2\n", probabilities=True)
    assert np.array_equal(
        np.array([found[1][5:]], np.float32), flowers.predict_probabilities(numbers).astype(np.float32)
    )
    assert 'column "size": must be there 2 times (got 1 of that name)' in refusal(
        model, "size,width,width\n1,1,1\n"
    )


def test_all_wrong_cells_are_named(flowers: TrainedModel) -> None:
    """Every column with wrong cells is in one error, with the first line, its cell, and their number."""
    rows = [ROW, "tall,3.5,,0.2", "5.1,1_000,NA,inf", "5.1,3.5", "low,3.5,1.4,0.2", ROW]
    rule = "inputs must be numbers, as in the study"
    assert refusal(flowers, "\n".join([HEAD, *rows])).splitlines() == [
        "new.csv: 5 problems",
        f'  line 3, column "length": {rule} (got "tall"; 2 such in all): write a number',
        '  line 3, column "petal length": a number is missing (got ""; 2 such in all): fill it, or drop the row',
        f'  line 4, column "width": {rule} (got "1_000"): write 1000',
        '  line 4, column "petal width": inputs must be finite (got "inf"): fill it, or drop the row',
        "  line 5: every row must have 4 cells, as the first has (got 2): correct the row",
    ]


def test_long_lists_of_problems_are_cut(flowers: TrainedModel) -> None:
    """An error lists at most 20 problems, and counts the others."""
    names = tuple(f"c{i}" for i in range(30))
    wide = replace(flowers, inputs=30, preprocessing=replace(flowers.preprocessing, features=names))
    lines = refusal(wide, "x,y\n1,2\n").splitlines()
    assert (len(lines), lines[-1]) == (22, "  and 10 more")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "new.csv: a table must hold at least one row (got 0 bytes): give it data"),
        (f"{HEAD}\n", "new.csv: a table must hold at least one row (got a header alone): give it data"),
        (
            f"{HEAD},prediction\n{ROW},1\n",
            'new.csv: must leave the names of predictions free (got the columns "prediction"): rename them',
        ),
        (
            f'{HEAD}\n5.1,"3.5\n',
            'new.csv: line 2: must be CSV (got "unexpected end of data"): check its quotes',
        ),
        (f"{HEAD}\n1e300,1,1,1\n", "new.csv: lines 2 to 2: numbers must fit float32 after scaling"),
    ],
)
def test_tables_that_cannot_be_used_are_refused(text: str, message: str, flowers: TrainedModel) -> None:
    """The error has the file, the rule, the value and a remedy."""
    assert refusal(flowers, text).startswith(message)


def test_a_file_that_is_not_there_is_named(flowers: TrainedModel) -> None:
    """A missing file and a folder are refused."""
    for path in (Path("none.csv"), Path()):
        with pytest.raises(DataError, match=r"the table must exist \(got no file\): correct the path"):
            predicted(flowers, path)


def test_a_model_without_names_takes_columns_by_place(flowers: TrainedModel) -> None:
    """Its table has the inputs of the study and nothing else, with or without a header."""
    unnamed = replace(flowers, preprocessing=replace(flowers.preprocessing, features=()))
    expected = [*ROW.split(","), "setosa"]
    assert predicted(unnamed, f"{ROW}\n{ROW}\n") == [["1", "2", "3", "4", "prediction"], expected, expected]
    assert predicted(unnamed, f"a,b,c,d\n{ROW}\n") == [["a", "b", "c", "d", "prediction"], expected]
    assert refusal(unnamed, f"{ROW},setosa\n").startswith(
        "new.csv: must have the 4 inputs of the study as its columns, without names (got 5 columns): leave out"
    )
    assert refusal(unnamed, f"{ROW}\n1,2,3,?\n").startswith("new.csv: line 2, column 4: a number is missing")


def test_regressions_predict_numbers(flowers: TrainedModel) -> None:
    """Numbers have as many digits as the network's precision; several targets have a column each."""
    numbers = replace(flowers, classes=())
    found = predicted(numbers, f"{HEAD}\n{ROW}\n")
    assert found[0][4:] == ["prediction_1", "prediction_2", "prediction_3"]
    values = numbers.predict(np.array([list(map(float, ROW.split(",")))]))
    assert np.array_equal(np.array(found[1][4:], np.float32), values[0].astype(np.float32))
    with pytest.raises(HpsearchError, match="--probabilities: needs a classification"):
        predicted(numbers, f"{HEAD}\n{ROW}\n", probabilities=True)


def test_cells_stay_as_they_are(flowers: TrainedModel) -> None:
    """Quotes, delimiters and line breaks inside a cell are part of it."""
    text = f'{HEAD},note\n{ROW},"two\nlines, ""quoted"""\n'
    found = predicted(flowers, text)
    assert found[1][4] == 'two\nlines, "quoted"'
