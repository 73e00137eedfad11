"""Models from Python: arrays, lists and data frames, saved and loaded."""

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.datasets import load_diabetes, load_iris

import hpsearch

COLUMNS = ["length", "width", "petal length", "petal width"]


@pytest.fixture
def frame() -> pd.DataFrame:
    """Return the irises with the names of their species as the last column."""
    bunch = load_iris()
    return pd.DataFrame(bunch.data, columns=COLUMNS).assign(species=bunch.target_names[bunch.target])


@pytest.fixture
def model(frame: pd.DataFrame) -> hpsearch.Model:
    """Return the model of a study of the data frame."""
    study = hpsearch.create_study(
        name="flowers",
        data={"source": frame, "scale": "standard"},
        training={"epochs": 5, "batch_size": 16},
        search={"learning_rate": hpsearch.Range(0.1, 1.0, log=True)},
        trials=2,
        storage="sqlite:///models.db",
    )
    return study.run(workers=1, progress=False).best_trial.model()


def test_frames_are_read_by_name(model: hpsearch.Model, frame: pd.DataFrame) -> None:
    """Columns may be in any order and among others, of pandas and polars; arrays and lists are in the study's order."""
    assert model.features == tuple(COLUMNS)
    expected = model.predict(frame[COLUMNS].to_numpy())
    assert (expected == frame["species"]).mean() > 0.8
    assert set(expected) <= set(model.classes)
    mixed = frame[["species", *reversed(COLUMNS)]].assign(note="x")
    for data in (mixed, pl.from_pandas(mixed), frame[COLUMNS].to_numpy().tolist(), frame[COLUMNS]):
        assert np.array_equal(model.predict(data), expected)
        shares = model.predict_proba(data)
        assert np.array_equal(np.array(model.classes)[shares.argmax(axis=1)], expected)


def test_a_saved_model_needs_nothing_else(model: hpsearch.Model, frame: pd.DataFrame) -> None:
    """A loaded model has the same facts and predictions, without database and data."""
    model.save(Path("flowers.npz"))
    Path("models.db").unlink()
    again = hpsearch.load_model("flowers.npz")
    assert np.array_equal(again.predict(frame), model.predict(frame))
    assert (again.to_dict(), again.card(), repr(again)) == (model.to_dict(), model.card(), repr(model))
    assert (again.study, again.task, again.metric) == ("flowers", "classification", "validation_accuracy")


def test_all_problems_of_a_frame_are_named(model: hpsearch.Model, frame: pd.DataFrame) -> None:
    """Missing columns are in one error, and so are columns with wrong values."""
    with pytest.raises(hpsearch.DataError) as raised:
        model.predict(frame[["length", "species"]])
    assert str(raised.value).splitlines() == [
        "predict: 3 problems",
        *(f'  X: must have one column "{name}" (got 0): add or rename it' for name in COLUMNS[1:]),
    ]
    with pytest.raises(hpsearch.DataError) as raised:
        model.predict(frame.assign(length="tall", width=np.nan))
    assert str(raised.value).splitlines()[0] == "predict: 2 problems"
    assert 'X: column "width", row 1: a number is missing' in str(raised.value)


def test_rows_of_another_width_are_refused(model: hpsearch.Model) -> None:
    """The error has the shape, and the form for a single row."""
    with pytest.raises(hpsearch.DataError, match=r"must have 4 inputs per row \(got shape \(2, 3\)\)"):
        model.predict([[1, 2, 3], [4, 5, 6]])
    with pytest.raises(hpsearch.DataError, match=r"got shape \(4,\)\): pass \[X\] for a single row"):
        model.predict([1, 2, 3, 4])


def test_a_regression_predicts_in_the_unit_of_the_targets() -> None:
    """Predictions are numbers; there are no probabilities."""
    X, y = load_diabetes(return_X_y=True)
    study = hpsearch.create_study(
        name="numbers",
        data={"source": (X, y), "scale": "standard", "task": "regression"},
        search={"learning_rate": hpsearch.Range(1e-4, 1e-2, log=True)},
        trials=3,
        storage="sqlite:///models.db",
    )
    model = study.run(workers=1, progress=False).best_trial.model()
    predicted = model.predict(X)
    assert (predicted.shape, str(predicted.dtype), model.task) == (y.shape, "float64", "regression")
    assert abs(float(predicted.mean()) - y.mean()) < y.std()
    with pytest.raises(hpsearch.HpsearchError, match="predict_proba: needs a classification"):
        model.predict_proba(X)


def test_the_ending_is_the_format(model: hpsearch.Model) -> None:
    """ONNX files and pipelines are written; another format is refused with the names of those that are."""
    for name in ("flowers.onnx", "flowers.joblib"):
        model.save(name)
        assert Path(name).stat().st_size > 1000
    with pytest.raises(
        hpsearch.UsageError, match=r'save: must end in .npz or .onnx or .joblib, .* \(got "flowers.h5"\)'
    ):
        model.save("flowers.h5")


def test_a_pruned_trial_needs_permission(lesson: hpsearch.Study) -> None:
    """A pruned trial has a model if the caller allows it, and a failed or early one has none."""
    pruned = next(t for t in lesson.trials if t.state.value == "pruned" and t.intermediate_values)
    with pytest.raises(hpsearch.HpsearchError, match="must be complete to have a model"):
        pruned.model()
    model = pruned.model(allow_pruned=True)
    assert (model.trial, model.verified) == (pruned.number, True)
