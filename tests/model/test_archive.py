"""The file of a model: what is written comes back, and no damage, foreign or newer file does harm."""

import json
import pickle
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpsearch.errors import HpsearchError
from hpsearch.model.archive import model_bytes, read_model
from hpsearch.model.fitting import fit_again
from hpsearch.model.trained_model import TrainedModel
from tests.model.conftest import KINDS, Finished


def written(model: TrainedModel) -> Path:
    """Write the model to a file in the current folder."""
    path = Path("model.npz")
    path.write_bytes(model_bytes(model))
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_comes_back(kind: str, finished: Finished) -> None:
    """All facts, and all predictions to the last bit, are those of the model that was written."""
    model = fit_again(finished(kind)[1]).model
    again = read_model(written(model))
    names = ("spec", "trial", "params", "inputs", "outputs", "classes", "result", "origin", "fingerprint")
    for name in (*names, "versions", "created", "task", "value"):
        assert getattr(again, name) == getattr(model, name)
    inputs = np.random.Generator(np.random.PCG64(1)).integers(0, 17, (700, model.inputs)).astype(np.float64)
    assert np.array_equal(again.predict(inputs), model.predict(inputs))
    if model.classes:
        assert np.array_equal(again.predict_probabilities(inputs), model.predict_probabilities(inputs))


def test_results_that_are_not_finite_come_back(flowers: TrainedModel) -> None:
    """NaN and infinity are kept as their names: JSON has no such numbers."""
    model = flowers
    odd = replace(
        model, result=replace(model.result, training_loss=float("inf"), validation_loss=float("-inf"))
    )
    assert read_model(written(odd)).result == odd.result


def test_other_programs_can_read_the_weights(finished: Finished) -> None:
    """Each layer's arrays have their names and shapes, and the metadata is JSON."""
    model = fit_again(finished("batch_norm")[1]).model
    with np.load(written(model), allow_pickle=False) as archive:
        shapes = {name: archive[name].shape for name in archive.files if name.startswith("layer0")}
        metadata = json.loads(archive["metadata"].tobytes())
    assert shapes == {
        "layer0.w": (4, 16),
        **{f"layer0.{name}": (16,) for name in ("b", "gamma", "beta", "mean", "variance")},
    }
    assert (metadata["format"], metadata["version"]) == ("hpsearch model", 1)
    assert metadata["study"]["model"] == json.loads(json.dumps(asdict(model.spec.model)))


Change = Callable[[dict[str, Any]], None]


def rewritten(path: Path, change: Change) -> Path:
    """Change the metadata, or the arrays, of a model file."""
    with np.load(path) as archive:
        arrays: dict[str, Any] = {name: archive[name] for name in archive.files}
    arrays["metadata"] = json.loads(arrays["metadata"].tobytes())
    change(arrays)
    if isinstance(arrays.get("metadata"), Mapping):
        arrays["metadata"] = np.frombuffer(json.dumps(arrays["metadata"]).encode(), np.uint8)
    np.savez(path, **arrays)
    return path


def setting(*keys: str, value: Any) -> Change:
    """Return a change of one value of the metadata."""

    def change(arrays: dict[str, Any]) -> None:
        place = arrays["metadata"]
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value

    return change


def putting(**arrays: Any) -> Change:
    """Return a change of arrays, whose names have `_` for a dot; None removes one."""

    def change(held: dict[str, Any]) -> None:
        for name, value in arrays.items():
            held.pop(name.replace("_", "."), None)
            if value is not None:
                held[name.replace("_", ".")] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (setting("version", value=3), r"must be of a format up to 2 .got format 3, written by hpsearch"),
        (setting("version", value="1"), "must be of type int"),
        (setting("version", value=True), "must be of type int"),
        (setting("format", value="other"), "must be a model of hpsearch .got metadata of another program"),
        (setting("inputs", value=5), r"4 names do not fit 5 inputs"),
        (setting("outputs", value=10**9), "1000000000 outputs do not fit 3 classes"),
        (setting("outputs", value=1), "1 outputs do not fit 3 classes"),
        (setting("outputs", value=0), "0 must be at least 1"),
        (setting("classes", value=[]), "the task classification does not fit 0 classes"),
        (setting("classes", value="abc"), "must be of type list"),
        (
            setting("study", "model", "hidden", value=[10**6] * 9),
            r"must be .*hidden|layer0.w must be float32",
        ),
        (setting("study", "model", "activation", value="magic"), "activation"),
        (setting("study", "training", "precision", value="float64"), "layer0.w must be float64"),
        (setting("study", value=[]), "JSON object"),
        (setting("study", "name", value=[]), "must be of type str"),
        (setting("result", "validation_accuracy", value="nan"), "'nan' must be from 0 to 1"),
        (setting("scaling", value="log"), "'log' must be one of unit, standard, none"),
        (setting("result", "epochs", value=None), "must be of type int"),
        (setting("result", value={}), "validation_accuracy is missing"),
        (setting("result", "trained_on", value="test"), "'test' must be one of training, all"),
        (setting("created", value="yesterday"), "yesterday"),
        (setting("params", value={"learning_rate": [1]}), "must be a number, a flag or a text"),
        (putting(layer0_b=np.zeros(3, np.float32)), r"layer0.b must be float32 .64,., and is float32 .3,."),
        (putting(layer0_w=None), "layer0.w is missing|layer0.w is not"),
        (putting(layer0_b=np.full(64, np.nan, np.float32)), "layer0.b must be numbers, and has NaN"),
        (putting(scaling_offset=np.full(4, np.nan)), "an array must be numbers, and has NaN"),
        (putting(layer0_b=np.array([{}], object)), "pickle"),
        (putting(scaling_offset=np.zeros((4, 1))), "must be float64"),
        (putting(metadata=np.zeros(3)), "must be a model of hpsearch"),
        (putting(metadata=None), "must be a model of hpsearch .got an archive with scaling.offset"),
        (putting(metadata=np.frombuffer(b"{", np.uint8)), "must be a whole model file"),
        (putting(metadata=np.frombuffer(b"\xff", np.uint8)), "must be a whole model file"),
        (putting(metadata=np.frombuffer(b"[" * 10**6, np.uint8)), "must be a whole model file"),
    ],
)
def test_files_that_are_no_models_are_refused(change: Change, message: str, flowers: TrainedModel) -> None:
    """Each is an error that names the file, the fault and a remedy."""
    path = rewritten(written(flowers), change)
    with pytest.raises(HpsearchError, match=message) as raised:
        read_model(path)
    assert str(raised.value).startswith("model.npz: ")


@pytest.mark.parametrize("cut", [0, 1, 100, 2000, -1, -30])
def test_a_file_that_was_cut_is_refused(cut: int, flowers: TrainedModel) -> None:
    """A part of a file is an error and not a model."""
    path = written(flowers)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(HpsearchError, match=r"^model.npz: must be a whole model file"):
        read_model(path)


class _Harm:
    """An object whose pickle executes code when it is loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("harm"),))


def test_loading_executes_no_code(flowers: TrainedModel) -> None:
    """A pickle in the archive, or in place of it, is refused and never loaded."""
    path = rewritten(written(flowers), putting(layer0_b=np.array([_Harm()], object)))
    with pytest.raises(HpsearchError):
        read_model(path)
    path.write_bytes(pickle.dumps(_Harm()))
    with pytest.raises(HpsearchError, match="must be a whole model file"):
        read_model(path)
    assert not Path("harm").exists()


def test_a_file_that_is_not_there_is_named() -> None:
    """A missing file, and a folder, are errors that name the path."""
    for path in (Path("missing.npz"), Path()):
        with pytest.raises(HpsearchError, match=r"the model must exist \(got no file"):
            read_model(path)
