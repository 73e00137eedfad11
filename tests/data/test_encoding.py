"""Encoding of columns: fitted on the training part, written as JSON, and built again to the last bit."""

import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.preprocessing import OneHotEncoder, TargetEncoder

from hpsearch.data.dataset import Array, Dataset
from hpsearch.data.encoding import (
    Encoding,
    InputColumn,
    date_parts,
    encoding_from_json,
    fit_encoding,
)
from hpsearch.data.prepare import prepare_dataset
from hpsearch.study.spec import DataSpec, KnownTask

COLUMNS = (
    InputColumn(name="age"),
    InputColumn(name="fare", transform="log"),
    InputColumn(name="city", kind="category", categories=("A", "B", "C", "D", "E"), min_frequency=10),
    InputColumn(name="joined", kind="date", has_times=True),
    InputColumn(name="zip", kind="category", categories=tuple("0123456789"), encoding="target"),
    InputColumn(name="rare", kind="category", categories=("x", "y"), min_frequency=1000),
)
ROWS = 300
TRAINED = 200


@pytest.fixture(scope="module")
def raw() -> Array:
    """Return raw inputs (300, 6) of COLUMNS, with missing cells in all but the second one."""
    stream = np.random.default_rng(0)
    columns = [
        stream.normal(size=ROWS),
        stream.normal(size=ROWS) * 1000,
        stream.choice(5, p=[0.4, 0.4, 0.15, 0.03, 0.02], size=ROWS),
        stream.integers(0, 2**31, ROWS),
        stream.integers(0, 10, ROWS),
        stream.integers(0, 2, ROWS),
    ]
    inputs = np.column_stack(columns).astype(np.float64)
    for place in (0, 2, 3, 4, 5):
        inputs[stream.integers(0, ROWS, 15), place] = np.nan
    return inputs


def targets(task: KnownTask, classes: int = 2) -> Array:
    """Return targets of 300 rows."""
    stream = np.random.default_rng(1)
    return stream.integers(0, classes, ROWS) if task == "classification" else stream.normal(size=(ROWS, 1))


def fitted(raw: Array, task: KnownTask, classes: int = 2) -> Encoding:
    """Return the encoding of the first 200 rows."""
    return fit_encoding(COLUMNS, raw, np.arange(TRAINED), targets=targets(task, classes), task=task)


def as_text(raw: Array) -> Array:
    """Return raw inputs as rows of objects, with categories as text."""
    rows = np.empty(raw.shape, object)
    for place, column in enumerate(COLUMNS):
        values: list[object] = raw[:, place].tolist()
        if column.kind == "category":
            values = [np.nan if np.isnan(v) else column.categories[int(v)] for v in raw[:, place]]
        rows[:, place] = values
    return rows


KINDS = [("classification", 2), ("classification", 3), ("regression", 0)]


@pytest.mark.parametrize(("task", "classes"), KINDS)
def test_an_encoding_that_is_read_again_encodes_to_the_last_bit(
    raw: Array, task: KnownTask, classes: int
) -> None:
    """JSON keeps all fitted numbers and texts, so a loaded model has the same inputs."""
    encoding = fitted(raw, task, classes)
    again = encoding_from_json(json.loads(json.dumps(encoding.to_json())))
    codes = encoding.recoded(raw, COLUMNS)
    encoded = encoding.apply(codes)
    assert again.columns == encoding.columns
    assert encoded.shape == (ROWS, len(encoding.features))
    assert np.isfinite(encoded).all()
    np.testing.assert_array_equal(again.apply(codes), encoded)
    np.testing.assert_array_equal(encoding.transformer.transform(as_text(raw)), encoded)


@pytest.mark.parametrize(("task", "classes"), KINDS)
def test_an_encoding_built_from_numbers_is_that_of_scikit_learn(
    raw: Array, task: KnownTask, classes: int
) -> None:
    """Transformers fitted on the training part itself give the same numbers."""
    encoding = fitted(raw, task, classes)
    encoded, rows = encoding.apply(encoding.recoded(raw, COLUMNS)), as_text(raw)
    one_hot = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=10, sparse_output=False)
    by_target = TargetEncoder(target_type="continuous" if task == "regression" else "auto")
    for own, column, name in ((one_hot, 2, "city"), (by_target, 4, "zip")):
        places = [i for i, feature in enumerate(encoding.features) if feature.startswith(name)]
        own.fit(rows[:TRAINED, [column]], targets(task, classes)[:TRAINED].reshape(-1))
        np.testing.assert_array_equal(encoded[:, places], own.transform(rows[:, [column]]))
    present = raw[:TRAINED, 0][~np.isnan(raw[:TRAINED, 0])]
    np.testing.assert_array_equal(encoded[np.isnan(raw[:, 0]), 0], np.median(present))
    np.testing.assert_array_equal(encoded[:, 1], np.isnan(raw[:, 0]))


def test_inputs_have_names(raw: Array) -> None:
    """Each input of the network is named after its column, and its category or part."""
    assert fitted(raw, "classification").features == (
        *("age", "age missing", "fare", "city=A", "city=B", "city=C", "city missing", "city=rare"),
        *("joined year", "joined month", "joined day", "joined weekday", "joined hour", "joined missing"),
        *("zip", "rare=rare"),
    )


def test_what_the_training_part_lacks_is_encoded_as_rare_or_as_nothing(raw: Array) -> None:
    """An unknown category is a rare one if there are any, else none; missing cells count as such a category."""
    columns = (
        replace(COLUMNS[2], min_frequency=10),
        InputColumn(name="b", kind="category", categories=("u", "v")),
    )
    inputs = np.array([[0.0, 0.0], [0.0, 1.0]] * 20 + [[1.0, 0.0]])
    encoding = fit_encoding(columns, inputs, np.arange(41), targets=np.zeros(41), task="classification")
    assert encoding.features == ("city=A", "city=rare", "b=u", "b=v")
    encoded = encoding.apply(np.array([[-1.0, -1.0], [np.nan, np.nan]]))
    np.testing.assert_array_equal(encoded, [[0, 1, 0, 0]] * 2)


def test_a_number_that_is_missing_in_new_rows_only_gets_the_median() -> None:
    """There is no indicator for it, because the network has never seen one."""
    inputs = np.array([[1.0], [2.0], [9.0]])
    encoding = fit_encoding(
        [InputColumn(name="a")], inputs, np.arange(3), targets=np.zeros(3), task="classification"
    )
    assert encoding.features == ("a",)
    np.testing.assert_array_equal(encoding.apply(np.array([[np.nan], [5.0]])), [[2.0], [5.0]])


def test_dates_have_parts() -> None:
    """Monday is weekday 0, and the hour has a fraction; what is missing stays so."""
    seconds = np.array(["2024-02-29T13:30", "1969-12-31T00:00", "NaT"], "datetime64[s]")
    numbers = np.where(np.isnat(seconds), np.nan, seconds.astype(np.int64).astype(np.float64))
    parts = date_parts(numbers.reshape(-1, 1), has_times=True)
    np.testing.assert_array_equal(parts[:2], [[2024, 2, 29, 3, 13.5], [1969, 12, 31, 2, 0]])
    assert np.isnan(parts[2]).all()


@pytest.mark.parametrize(
    "change",
    [
        {"fill": [float("nan")]},
        {"fill": []},
        {"rare": [7]},
        {"column": {"name": "a", "kind": "secret", "categories": []}},
        {"column": {"name": 3, "categories": []}},
        {"column": {"name": "a", "categories": [1]}},
        {"column": {"name": "a", "kind": "category", "categories": ["x", "x"]}, "fill": []},
    ],
)
def test_damaged_encodings_are_refused(change: dict[str, object]) -> None:
    """A model's file is from any source: what does not fit together is an error."""
    whole = {
        "column": {"name": "a", "categories": []},
        "fill": [1.0],
        "has_missing": False,
        "rare": [],
        "values": [],
        "mean": [],
    }
    assert encoding_from_json({"columns": [whole], "is_named": True}).features == ("a",)
    with pytest.raises((ValueError, TypeError)):
        encoding_from_json({"columns": [whole | change], "is_named": True})


def mixed(raw: Array) -> Dataset:
    """Return a data set of raw inputs that must be encoded."""
    return Dataset(
        name="mixed",
        inputs=raw,
        targets=targets("classification"),
        task="classification",
        classes=("0", "1"),
        features=tuple(column.name for column in COLUMNS),
        is_image=False,
        origin="mixed",
        columns=COLUMNS,
    )


def test_encoding_is_the_first_step_of_preprocessing(raw: Array) -> None:
    """Raw rows of the validation part become exactly the inputs that validation has; the training part alone counts."""
    spec = DataSpec(source="mixed", scale="standard")
    data = prepare_dataset(mixed(raw), spec, seed=3, precision="float32")
    encoding = data.preprocessing.encoding
    assert encoding is not None
    assert data.preprocessing.features == encoding.features
    codes = encoding.recoded(raw, COLUMNS)
    ready = data.preprocessing.apply(codes, precision="float32", where="test")
    found = {row.tobytes() for row in ready}
    assert {row.tobytes() for row in data.validation.inputs} <= found
    by_target = encoding.features.index("zip")
    others = np.delete(np.arange(len(encoding.features)), by_target)
    assert {row.tobytes() for row in data.training.inputs[:, others]} <= {
        r.tobytes() for r in ready[:, others]
    }


def test_the_fingerprint_covers_the_encoding(raw: Array) -> None:
    """Another use of a column, or another category, is other data."""
    spec = DataSpec(source="mixed")

    def name(dataset: Dataset) -> str:
        return prepare_dataset(dataset, spec, seed=3, precision="float32").fingerprint

    own = mixed(raw)
    logs = replace(own, columns=(replace(COLUMNS[0], transform="log"), *COLUMNS[1:]))
    renamed = replace(COLUMNS[2], categories=("A", "B", "C", "D", "Z"))
    others = replace(
        own, columns=(*COLUMNS[:2], replace(renamed, categories=("a", *renamed.categories[1:])), *COLUMNS[3:])
    )
    assert name(own) == name(mixed(raw.copy()))
    assert len({name(own), name(logs), name(others)}) == 3
