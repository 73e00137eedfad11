"""Models as ONNX files and as pipelines of scikit-learn: their predictions are those of the model."""

import io
import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import joblib
import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris
from sklearn.pipeline import Pipeline

from hpsearch.data.scaling import Scaling
from hpsearch.errors import HpsearchError, UsageError
from hpsearch.model import onnx_file
from hpsearch.model.archive import read_model
from hpsearch.model.fitting import fit_again
from hpsearch.model.onnx_file import IR_VERSION, ML_OPSET, OPSET, onnx_bytes
from hpsearch.model.pipeline import joblib_bytes
from hpsearch.model.trained_model import TrainedModel
from hpsearch.nn.activations import ACTIVATIONS, GATES
from hpsearch.nn.network import build_network
from hpsearch.study.schema import words
from hpsearch.study.spec import Activation, ModelSpec
from hpsearch.workflows.model import save_model
from tests.model.conftest import KINDS, Finished

LOADERS: Final = {"breast_cancer": load_breast_cancer, "diabetes": load_diabetes, "digits": load_digits}


def raw_inputs(kind: str) -> np.ndarray[Any, Any]:
    """Return the raw inputs of the data of a kind of study."""
    inputs: np.ndarray[Any, Any] = LOADERS.get(KINDS[kind].data.source, load_iris)(return_X_y=True)[0]
    return inputs


def run_onnx(contents: bytes, inputs: np.ndarray[Any, Any]) -> Mapping[str, Any]:
    """Return the outputs of a graph by name."""
    session = onnxruntime.InferenceSession(contents, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"inputs": inputs.astype(np.float64)}), strict=True))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "fault"])
def test_every_format_predicts_what_the_model_predicts(kind: str, finished: Finished) -> None:
    """On raw rows, ONNX and the pipeline give the classes of the model, and its numbers to a millionth."""
    _, stored = finished(kind)
    model, inputs = fit_again(stored).model, raw_inputs(kind)
    made = run_onnx(onnx_bytes(model, where="test"), inputs)
    pipeline = joblib.load(io.BytesIO(joblib_bytes(model, where="test")))
    features = model.preprocessing.features
    frame = pd.DataFrame(inputs, columns=list(features)) if features else inputs
    expected = model.predict(inputs)
    if not model.classes:
        assert np.allclose(made["prediction"][:, 0], expected, rtol=1e-6, atol=0)
        assert np.allclose(pipeline.predict(frame), expected, rtol=1e-6, atol=0)
        return
    assert (made["label"] == expected).all()
    assert (pipeline.predict(frame) == expected).all()
    assert pipeline.classes_.tolist() == model.labels.tolist()
    shares = model.predict_probabilities(inputs)
    assert np.allclose(made["probabilities"], shares, rtol=0, atol=1e-6)
    assert np.allclose(pipeline.predict_proba(frame), shares, rtol=0, atol=1e-6)


def drawn_model(flowers: TrainedModel, spec: ModelSpec) -> TrainedModel:
    """Return a model with drawn weights in place of those of `flowers`, between the same inputs and outputs."""
    network = build_network(spec, inputs=flowers.inputs, outputs=flowers.outputs)
    stream = np.random.default_rng(1)
    return replace(
        flowers,
        spec=replace(flowers.spec, model=spec),
        parameters=stream.normal(0, 0.5, network.parameters).astype(np.float32),
        running=stream.uniform(0.5, 2, network.statistics).astype(np.float32),
    )


@pytest.mark.parametrize("activation", words(Activation))
def test_every_activation_has_operators(activation: Activation, flowers: TrainedModel) -> None:
    """With batch normalization, skips and dropout, outputs agree to a millionth, also far from usual inputs."""
    assert set(words(Activation)) <= {*ACTIVATIONS, *GATES}
    spec = ModelSpec(
        hidden=(8, 8),
        activation=activation,
        batch_norm=True,
        skip_connections=True,
        dropout=0.25,
        dropout_scaling="evaluation",
        loss="cross_entropy",
    )
    model = drawn_model(flowers, spec)
    inputs = 100 * raw_inputs("csv")
    made = run_onnx(onnx_bytes(model, where="test"), inputs)
    assert np.allclose(made["probabilities"], model.predict_probabilities(inputs), rtol=0, atol=1e-6)


def test_the_file_states_what_it_is(flowers: TrainedModel) -> None:
    """Version of operators, types and names of inputs and outputs, and the facts of the model are in the file."""
    made = onnx.load_from_string(onnx_bytes(flowers, where="test"))
    assert [(one.domain, one.version) for one in made.opset_import] == [("", OPSET), ("ai.onnx.ml", ML_OPSET)]
    assert (made.ir_version, made.producer_name) == (IR_VERSION, "hpsearch")
    facts = {one.key: json.loads(one.value) for one in made.metadata_props}
    assert (facts["fingerprint"], facts["classes"]) == (flowers.fingerprint, list(flowers.classes))
    outputs = run_onnx(made.SerializeToString(), raw_inputs("csv")[:3])
    assert outputs["label"].tolist() == ["setosa"] * 3
    assert outputs["probabilities"].dtype == np.float32


def test_a_graph_that_predicts_something_else_is_refused(
    flowers: TrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check compares probabilities and classes with those of the model, and names the first difference."""
    own = onnx_file._scaled

    def wrong(graph: Any, scaling: Scaling, x: str) -> str:
        return own(graph, replace(scaling, offset=scaling.offset + 0.1), x)

    monkeypatch.setattr(onnx_file, "_scaled", wrong)
    with pytest.raises(
        HpsearchError, match=r"save: onnxruntime must predict .* \(got 0\.\d+ instead of 0\.\d+\)"
    ):
        onnx_bytes(flowers, where="save")


def test_a_fault_of_inputs_is_in_our_own_format_only(finished: Finished) -> None:
    """A deliberate fault is refused by the formats for other programs."""
    _, stored = finished("fault")
    model = fit_again(stored).model
    for write in (onnx_bytes, joblib_bytes):
        with pytest.raises(HpsearchError, match=r"save: must be \.npz .* \(got data.fault = "):
            write(model, where="save")


def test_a_missing_extra_is_named_before_any_work(
    flowers: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without onnxruntime the error has the command that installs it."""
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UsageError, match=r"save: \.onnx needs onnxruntime .*install .*\[onnx\]"):
        save_model(flowers, tmp_path / "m.onnx", where="save")


@pytest.mark.parametrize(("suffix", "remedy"), [(".onnx", "onnxruntime"), (".joblib", "executes code")])
def test_formats_for_other_programs_are_not_read(
    suffix: str, remedy: str, flowers: TrainedModel, tmp_path: Path
) -> None:
    """The error names the program that reads them; nothing is loaded."""
    path = tmp_path / f"model{suffix}"
    save_model(flowers, path, where="save")
    with pytest.raises(HpsearchError, match=rf"must be a model in \.npz \(got {suffix}\): .*{remedy}"):
        read_model(path)


def test_the_pipeline_is_a_fitted_one(flowers: TrainedModel, tmp_path: Path) -> None:
    """It reads frames by their names, can be cloned, and `fit` does not train it again."""
    save_model(flowers, tmp_path / "m.joblib", where="save")
    pipeline: Pipeline = joblib.load(tmp_path / "m.joblib")
    frame = pd.DataFrame(raw_inputs("csv"), columns=list(flowers.preprocessing.features))
    expected = flowers.predict(frame.to_numpy())
    assert (pipeline.predict(frame) == expected).all()
    assert pipeline.score(frame, expected) == 1
    assert pipeline.n_features_in_ == 4
    with pytest.raises(ValueError, match="feature names"):
        pipeline.predict(frame.rename(columns={"length": "height"}))
    network = clone(pipeline[-1]).fit(frame, expected)
    assert network.network.fingerprint == flowers.fingerprint
