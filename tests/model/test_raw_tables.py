"""Models of raw tables: text, missing cells and dates in, predictions out, the same from every kind of data."""

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from pyarrow import parquet

from hpsearch.data.arrays import ArrayValues, Rows, read_inputs
from hpsearch.data.dataset import Array
from hpsearch.data.sources import load
from hpsearch.data.split import split
from hpsearch.errors import DataError
from hpsearch.model.archive import model_bytes, read_model
from hpsearch.model.table_predictions import open_predictions
from hpsearch.model.trained_model import TrainedModel
from tests.model.conftest import customers_table

ROWS = 300


def table() -> Path:
    """Return the table of the study as a file."""
    path = Path("customers.csv")
    path.write_text(customers_table(ROWS), encoding="utf-8")
    return path


def predicted(model: TrainedModel, path: Path) -> list[str]:
    """Return the predictions for the rows of a table in a file."""
    with open_predictions(model, path) as found:
        return [cells[-1] for cells in found.rows]


def of_python(model: TrainedModel, x: ArrayValues | Rows) -> Array:
    """Return the predictions for what a program passes."""
    return model.predict(read_inputs(x, preprocessing=model.preprocessing, inputs=model.inputs))


def test_columns_become_inputs_with_names(customers: TrainedModel) -> None:
    """Identifiers and free text are no inputs; categories, dates and missing numbers are several."""
    preprocessing = customers.preprocessing
    assert preprocessing.raw_features == ("age", "city", "income", "member", "joined")
    assert {"age", "age missing", "city=Oslo", "city missing", "member=yes", "joined year"} <= set(
        preprocessing.features
    )
    assert customers.inputs == len(preprocessing.features)


def test_validation_rows_give_the_stored_accuracy(customers: TrainedModel) -> None:
    """Law 10, from raw text: the predictions for the rows that validation saw have the stored accuracy exactly."""
    path = table()
    head, *lines = path.read_text(encoding="utf-8").splitlines()
    source = load(str(path), environment={})
    rows = split(source, customers.spec.data, seed=customers.spec.seed).validation
    part = Path("validation.csv")
    part.write_text("\n".join([head, *(lines[row] for row in rows)]), encoding="utf-8")
    labels = [lines[row].rsplit(",", 1)[1] for row in rows]
    right = [label == found for label, found in zip(labels, predicted(customers, part), strict=True)]
    assert np.mean(right) == customers.result.validation_accuracy
    assert np.mean(right) > 0.6


def test_a_loaded_model_predicts_to_the_last_bit(customers: TrainedModel) -> None:
    """The file keeps the encoding as JSON; loading it executes no code and changes no bit."""
    path = table()
    Path("model.npz").write_bytes(model_bytes(customers))
    again = read_model(Path("model.npz"))
    frame = pd.read_csv(path)
    raw, other = (
        read_inputs(frame, preprocessing=model.preprocessing, inputs=model.inputs)
        for model in (customers, again)
    )
    np.testing.assert_array_equal(raw, other)
    assert again.predict_probabilities(other).tobytes() == customers.predict_probabilities(raw).tobytes()


def test_every_kind_of_data_gives_the_same_predictions(customers: TrainedModel) -> None:
    """CSV, Parquet, data frames of pandas and polars, dictionaries and rows are the same table."""
    path = table()
    expected = predicted(customers, path)
    frame = pd.read_csv(path)
    parquet.write_table(pa.Table.from_pandas(frame), "customers.parquet")
    assert predicted(customers, Path("customers.parquet")) == expected
    columns = list(customers.preprocessing.raw_features)
    dated = frame.assign(joined=pd.to_datetime(frame["joined"]))
    kinds: list[ArrayValues | Rows] = [
        frame,
        dated,
        pl.from_pandas(frame),
        pl.from_pandas(dated),
        frame.to_dict("records"),
        frame[columns].to_numpy(),
        frame[columns].to_numpy().tolist(),
    ]
    for x in kinds:
        assert of_python(customers, x).tolist() == expected
    first: Rows = frame.to_dict("records")[0]
    assert of_python(customers, first).tolist() == expected[:1]


def test_unknown_categories_are_counted(customers: TrainedModel) -> None:
    """A new category is no error: it counts as a rare one, and the result has the number of its cells."""
    head = "age,city,income,member,joined"
    Path("new.csv").write_text(f"{head}\n30,Paris,1,yes,2020-01-01\n30,,1,maybe,\n,Wien,1,no,2020-01-01\n")
    with open_predictions(customers, Path("new.csv")) as found:
        assert len(list(found.rows)) == 3
        assert found.unknown == {"city": 2, "member": 1}


def test_wrong_cells_are_named_with_their_lines(customers: TrainedModel) -> None:
    """Text among numbers, and among dates, and missing columns: all in one error."""
    head = "age,city,income,member,joined"
    Path("new.csv").write_text(f"{head}\nold,Rome,$5,yes,2020-01-01\n30,Rome,1,yes,soon\n31,Rome,1,no\n")
    with pytest.raises(DataError) as raised, open_predictions(customers, Path("new.csv")) as found:
        list(found.rows)
    assert str(raised.value).splitlines() == [
        "new.csv: 4 problems",
        "  line 4: every row must have 5 cells, as the first has (got 4): correct the row",
        '  line 2, column "age": inputs must be numbers, as in the study (got "old"): write a number',
        '  line 2, column "income": inputs must be numbers, as in the study (got "$5"): write 5',
        '  line 3, column "joined": must be a date, as in the study (got "soon"): write 2024-01-31',
    ]
    Path("new.csv").write_text("age,town,income,member,joined\n1,Rome,1,no,2020-01-01\n")
    with (
        pytest.raises(DataError, match='column "city": must be there, an input of the model'),
        open_predictions(customers, Path("new.csv")),
    ):
        pass
    with pytest.raises(
        DataError, match=r'predict: X: column "age", row 1: inputs must be numbers.*\(got "old"'
    ):
        of_python(customers, {"age": "old", "city": "", "income": 1, "member": "no", "joined": None})
