"""Models of tables with categories, dates and missing cells, as ONNX files and as pipelines of scikit-learn."""

from dataclasses import replace
from typing import Any, Final, Literal

import numpy as np
import onnxruntime
import pytest

from hpsearch.data.encoding import InputColumn, fit_encoding
from hpsearch.data.preprocessing import Preprocessing
from hpsearch.data.scaling import Scaling
from hpsearch.errors import HpsearchError
from hpsearch.model.onnx_columns import column_feeds
from hpsearch.model.onnx_file import onnx_bytes
from hpsearch.model.pipeline import pipeline_of
from hpsearch.model.trained_model import TrainedModel
from hpsearch.nn.network import build_network

ROWS: Final = 400
COLUMNS: Final = (
    InputColumn(name="age"),
    InputColumn(name="fare", transform="log"),
    InputColumn(name="city", kind="category", categories=("A", "B", "C", "D", "E"), min_frequency=20),
    InputColumn(name="born", kind="date"),
    InputColumn(name="joined", kind="date", has_times=True),
    InputColumn(name="zip", kind="category", categories=tuple("0123456789"), encoding="target"),
    InputColumn(name="income"),
)

Matrix = np.ndarray[Any, Any]


def raw_inputs(*, missing: bool) -> Matrix:
    """Return raw inputs (400, 7) of COLUMNS, from the years 1700 to 2200."""
    stream = np.random.default_rng(0)
    raw = np.column_stack(
        [
            stream.normal(40, 20, ROWS),
            stream.normal(0, 1000, ROWS),
            stream.choice(5, p=[0.4, 0.4, 0.15, 0.03, 0.02], size=ROWS),
            stream.integers(-98_000, 84_000, ROWS) * 86_400,
            stream.integers(-98_000 * 86_400, 84_000 * 86_400, ROWS),
            stream.integers(0, 10, ROWS),
            stream.normal(1e6, 1e5, ROWS),
        ]
    )
    if missing:
        raw[stream.random(raw.shape) < 0.1] = np.nan
    return raw


@pytest.fixture(params=["missing", "complete"])
def raw(request: pytest.FixtureRequest) -> Matrix:
    """Return raw inputs with missing cells, and without."""
    return raw_inputs(missing=request.param == "missing")


def encoded_model(flowers: TrainedModel, raw: Matrix, scale: Literal["standard", "unit"]) -> TrainedModel:
    """Return a model of three classes with drawn weights for inputs like `raw`."""
    classes = np.random.default_rng(1).integers(0, 3, ROWS)
    encoding = fit_encoding(COLUMNS, raw, np.arange(ROWS), targets=classes, task="classification")
    ready = encoding.apply(encoding.recoded(raw, COLUMNS))
    offset, divisor = ready.mean(axis=0), np.maximum(ready.std(axis=0), 1e-3)
    network = build_network(flowers.spec.model, inputs=ready.shape[1], outputs=3)
    stream = np.random.default_rng(2)
    return replace(
        flowers,
        inputs=ready.shape[1],
        preprocessing=Preprocessing(
            features=encoding.features,
            scaling=Scaling(kind=scale, offset=offset, divisor=divisor),
            encoding=encoding,
        ),
        parameters=stream.normal(0, 0.3, network.parameters).astype(np.float32),
        running=np.zeros(network.statistics, np.float32),
    )


@pytest.mark.parametrize("scale", ["standard", "unit"])
def test_raw_columns_are_predicted_as_by_the_model(
    scale: Literal["standard", "unit"], raw: Matrix, flowers: TrainedModel
) -> None:
    """Rare and unknown categories, missing cells and dates before 1970 give the same classes and probabilities."""
    model = encoded_model(flowers, raw, scale)
    encoding = model.preprocessing.encoding
    assert encoding is not None
    codes = encoding.recoded(raw, COLUMNS)
    codes[:3, 2] = -1  # unknown
    feeds = column_feeds(encoding, codes)
    session = onnxruntime.InferenceSession(onnx_bytes(model, where="test"))
    assert [one.name for one in session.get_inputs()] == [column.name for column in COLUMNS]
    labels, shares = session.run(None, dict(feeds))
    assert (labels == model.predict(codes)).all()
    assert np.allclose(shares, model.predict_probabilities(codes), rtol=0, atol=1e-6)

    rows = np.column_stack([feeds[column.name].astype(object) for column in COLUMNS])
    rows[rows == ""] = np.nan  # as frames of pandas have it
    pipeline = pipeline_of(model, where="test")
    assert (pipeline.predict(rows) == labels).all()
    assert np.allclose(pipeline.predict_proba(rows), shares, rtol=0, atol=1e-6)


def test_names_that_a_graph_cannot_have_are_refused(flowers: TrainedModel) -> None:
    """A column with the name of an output is named."""
    model = encoded_model(flowers, raw_inputs(missing=True), "standard")
    encoding = model.preprocessing.encoding
    assert encoding is not None
    first = replace(encoding.columns[0], column=InputColumn(name="label"))
    renamed = replace(encoding, columns=(first, *encoding.columns[1:]))
    preprocessing = replace(model.preprocessing, encoding=renamed)
    with pytest.raises(
        HpsearchError, match=r'save: columns .* different names, .* \(got "label" twice\): rename'
    ):
        onnx_bytes(replace(model, preprocessing=preprocessing), where="save")
