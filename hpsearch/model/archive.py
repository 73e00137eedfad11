"""The file of a model: a NumPy archive of plain arrays, with a JSON text as bytes. Reading it executes no code.

Versions 1 and 2 have these arrays. Layers are counted from 0, input side first; the last one is the output layer.

    metadata                                    bytes (uint8): JSON text in UTF-8
    scaling.offset, scaling.divisor             float64 (I,) or (1,): an input is (x - offset) / divisor
    fault.first                                 float64 (1, I), in studies with a fault of inputs only
    target_scaling.offset, target_scaling.divisor  float64 (O,), if targets are scaled: a number is y * divisor + offset
    layer0.w (I, O), layer0.b (O,)              in the precision of the network
    layer0.gamma, layer0.beta (O,)              with batch normalization that is affine
    layer0.mean, layer0.variance (O,)           with batch normalization

Version 2 has a scaling of targets, or the key `encoding` in its metadata, the encoding of columns that are not numbers
(`data.encoding`). It is written for such models only. A version that changes the meaning of these raises
`FORMAT_VERSION`; others may add arrays and keys.
"""

import io
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np

from hpsearch.data.dataset import Array
from hpsearch.data.encoding import encoding_from_json
from hpsearch.data.faults import INPUT_FAULTS
from hpsearch.data.npz import ARCHIVE_ERRORS, check_claims
from hpsearch.data.preprocessing import Preprocessing
from hpsearch.data.scaling import Scaling
from hpsearch.data.target_scaling import UNSCALED, TargetScaling
from hpsearch.errors import HpsearchError
from hpsearch.model.trained_model import TrainedModel, TrainedOn, TrainingResult
from hpsearch.nn.network import Network, build_network
from hpsearch.study.json_form import checked_spec, spec_to_json
from hpsearch.study.schema import words
from hpsearch.study.spec import Precision, Scale, TargetScale
from hpsearch.trials import ParameterValue

FORMAT: Final = "hpsearch model"
FORMAT_VERSION: Final = 2

_OTHER_READERS: Final = {
    ".onnx": "read it with onnxruntime",
    ".joblib": "loading it executes code: if you trust it, read it with joblib.load",
}
"""The way to read the formats that are written for other programs."""

_T = TypeVar("_T")


def model_bytes(model: TrainedModel) -> bytes:
    """Return the contents of the file of a model."""
    file = io.BytesIO()
    text = json.dumps(_metadata(model), allow_nan=False)
    preprocessing = model.preprocessing
    arrays: dict[str, Any] = {
        "metadata": np.frombuffer(text.encode(), np.uint8),
        "scaling.offset": preprocessing.scaling.offset,
        "scaling.divisor": preprocessing.scaling.divisor,
        **({} if preprocessing.first is None else {"fault.first": preprocessing.first}),
        **_target_arrays(model.target_scaling),
        **dict(_layers(model.network, model.parameters, model.running)),
    }
    np.savez(file, allow_pickle=False, **arrays)
    return file.getvalue()


def read_model(path: Path) -> TrainedModel:
    """Return the model in `path`. Raises HpsearchError if the file is none, is damaged, or needs a newer hpsearch."""
    try:
        if not path.is_file():
            raise HpsearchError(f"{path}: the model must exist (got no file): correct the path")
        if (reader := _OTHER_READERS.get(path.suffix.lower())) is not None:
            raise HpsearchError(
                f"{path}: must be a model in .npz (got {path.suffix}): {reader}, or export it as .npz"
            )
        check_claims(path)
        with np.load(path, allow_pickle=False) as archive:
            if "metadata" not in archive.files:
                held = ", ".join(archive.files) or "nothing"
                raise HpsearchError(
                    f"{path}: must be a model of hpsearch (got an archive with {held}): "
                    "write one with `hpsearch model export`"
                )
            arrays = {name: archive[name] for name in archive.files}
        return _model(_read_metadata(arrays["metadata"], path), arrays)
    except OSError as error:
        raise HpsearchError(
            f'{path}: the model must be readable (got "{error.strerror or error}"): check its permissions'
        ) from error
    except MemoryError as error:
        raise HpsearchError(
            f"{path}: the model must fit into memory (got more): use another machine"
        ) from error
    except (*ARCHIVE_ERRORS, AttributeError, LookupError, OverflowError, RecursionError, TypeError) as error:
        raise HpsearchError(
            f'{path}: must be a whole model file of hpsearch (got "{_reason(error)}"): export it again'
        ) from error


def _reason(error: Exception) -> str:
    return f"{error.args[0]} is missing" if isinstance(error, KeyError) and error.args else str(error)


def _metadata(model: TrainedModel) -> dict[str, Any]:
    preprocessing, result = model.preprocessing, model.result
    return {
        "format": FORMAT,
        "version": FORMAT_VERSION if _needs_version_2(model) else 1,
        "study": json.loads(spec_to_json(model.spec)),
        "trial": model.trial,
        "params": dict(model.params),
        "inputs": model.inputs,
        "outputs": model.outputs,
        "classes": list(model.classes),
        "features": list(preprocessing.features),
        "scaling": preprocessing.scaling.kind,
        "target_scaling": model.target_scaling.kind,
        **({} if preprocessing.encoding is None else {"encoding": preprocessing.encoding.to_json()}),
        # JSON has no NaN and no infinity: such a number is its name.
        "result": {name: _plain(value) for name, value in asdict(result).items()},
        "origin": model.origin,
        "fingerprint": model.fingerprint,
        "versions": dict(model.versions),
        "created": model.created.isoformat(),
    }


def _needs_version_2(model: TrainedModel) -> bool:
    """Return True if the model has steps that version 1 has no place for."""
    return model.target_scaling.kind != "none" or model.preprocessing.encoding is not None


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _target_arrays(scaling: TargetScaling) -> dict[str, Array]:
    if scaling.kind == "none":
        return {}
    return {"target_scaling.offset": scaling.offset, "target_scaling.divisor": scaling.divisor}


def _layers(network: Network, parameters: Array, running: Array) -> Iterator[tuple[str, Array]]:
    """Yield the arrays of each layer by name, as views of `parameters` (P,) and `running` (S,)."""
    statistics = network.running_views(running[None])
    for layer, (block, own) in enumerate(zip(network.views(parameters[None]), statistics, strict=True)):
        named = {"w": block.w, "b": block.b, "gamma": block.gamma, "beta": block.beta}
        if own is not None:
            named |= {"mean": own[0], "variance": own[1]}
        for name, array in named.items():
            if array is not None:
                yield f"layer{layer}.{name}", array[0]


def _read_metadata(array: Array, path: Path) -> Mapping[str, Any]:
    """Return the metadata. Raises HpsearchError for another format or a newer version, ValueError for damage."""
    if array.dtype != np.uint8 or array.ndim != 1:
        raise HpsearchError(
            f'{path}: must be a model of hpsearch (got an array "metadata" of {array.dtype}): '
            "write one with `hpsearch model export`"
        )
    metadata = json.loads(array.tobytes().decode())
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        raise HpsearchError(
            f"{path}: must be a model of hpsearch (got metadata of another program): "
            "write one with `hpsearch model export`"
        )
    version = _typed(metadata["version"], int)
    if version > FORMAT_VERSION:
        raise HpsearchError(
            f"{path}: must be of a format up to {FORMAT_VERSION} (got format {version}, written by hpsearch "
            f"{_newer(metadata)}): update hpsearch"
        )
    return metadata


def _newer(metadata: Mapping[str, Any]) -> str:
    versions = metadata.get("versions")
    return str(versions.get("hpsearch", "of a newer version"))[:20] if isinstance(versions, dict) else "newer"


def _model(metadata: Mapping[str, Any], arrays: Mapping[str, Array]) -> TrainedModel:
    """Return the model. Raises ValueError and its like for anything that does not fit together."""
    spec = checked_spec(json.dumps(metadata["study"]))
    _typed(spec.name, str)
    inputs, outputs = _count(metadata["inputs"]), _count(metadata["outputs"])
    classes, features = _texts(metadata["classes"]), _texts(metadata["features"])
    if spec.data.task != ("classification" if classes else "regression"):
        raise ValueError(f"the task {spec.data.task} does not fit {len(classes)} classes")
    if classes and outputs != len(classes) and (len(classes), outputs) != (2, 1):
        raise ValueError(f"{outputs} outputs do not fit {len(classes)} classes")
    if features and len(features) != inputs:
        raise ValueError(f"{len(features)} names do not fit {inputs} inputs")
    encoding = encoding_from_json(metadata["encoding"]) if "encoding" in metadata else None
    if encoding is not None and encoding.features != features:
        raise ValueError("the names of inputs are not those of the encoding")
    network = build_network(spec.model, inputs=inputs, outputs=outputs)
    parameters, running = _weights(network, spec.training.precision, arrays)
    fault = spec.data.fault if spec.data.fault and spec.data.fault.name in INPUT_FAULTS else None
    return TrainedModel(
        spec=spec,
        trial=_typed(metadata["trial"], int),
        params={name: _parameter(value) for name, value in _typed(metadata["params"], dict).items()},
        inputs=inputs,
        outputs=outputs,
        classes=classes,
        preprocessing=Preprocessing(
            features=features,
            scaling=_scaling(metadata["scaling"], arrays, inputs),
            fault=fault,
            first=None if fault is None else _floats(arrays["fault.first"], (1, inputs)),
            encoding=encoding,
        ),
        parameters=parameters,
        running=running,
        result=_result(metadata["result"]),
        origin=_typed(metadata["origin"], str),
        fingerprint=_typed(metadata["fingerprint"], str),
        target_scaling=_target_scaling(metadata.get("target_scaling", "none"), arrays, outputs),
        versions={str(name): _typed(text, str) for name, text in _typed(metadata["versions"], dict).items()},
        created=datetime.fromisoformat(metadata["created"]),
    )


def _weights(network: Network, precision: Precision, arrays: Mapping[str, Array]) -> tuple[Array, Array]:
    """Return parameters (P,) and running statistics (S,). All shapes are checked before memory is taken."""
    for name, shape in _shapes(network):
        array = arrays[name]
        if array.shape != shape or array.dtype != precision:
            raise ValueError(f"{name} must be {precision} {shape}, and is {array.dtype} {array.shape}")
        _check_numbers(name, array)
    parameters, running = np.empty(network.parameters, precision), np.empty(network.statistics, precision)
    for name, view in _layers(network, parameters, running):
        view[...] = arrays[name]
    return parameters, running


def _shapes(network: Network) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the arrays of each layer by name, as `_layers` does, with their shapes."""
    for layer, block in enumerate(network.blocks):
        width = block.dense.outputs
        yield f"layer{layer}.w", (block.dense.inputs, width)
        vectors = ["b"]
        vectors += ["gamma", "beta"] if block.is_affine else []
        vectors += ["mean", "variance"] if block.norm is not None else []
        yield from ((f"layer{layer}.{name}", (width,)) for name in vectors)


def _scaling(kind: Any, arrays: Mapping[str, Array], inputs: int) -> Scaling:
    kind = _word(kind, Scale)
    offset, divisor = arrays["scaling.offset"], arrays["scaling.divisor"]
    shape = (1,) if offset.shape == (1,) else (inputs,)
    return Scaling(kind=kind, offset=_floats(offset, shape), divisor=_floats(divisor, shape))


def _target_scaling(kind: Any, arrays: Mapping[str, Array], outputs: int) -> TargetScaling:
    """Return the scaling of the targets; models of format 1 have none."""
    if _word(kind, TargetScale) == "none":
        return UNSCALED
    offset, divisor = (
        _floats(arrays[f"target_scaling.{name}"], (outputs,)) for name in ("offset", "divisor")
    )
    return TargetScaling(kind=kind, offset=offset, divisor=divisor)


def _floats(array: Array, shape: tuple[int, ...]) -> Array:
    if array.dtype != np.float64 or array.shape != shape:
        raise ValueError(f"an array must be float64 {shape}, and is {array.dtype} {array.shape}")
    _check_numbers("an array", array)
    return array


def _check_numbers(name: str, array: Array) -> None:
    """Raise ValueError for NaN, which would become a prediction like any other."""
    if np.isnan(array).any():
        raise ValueError(f"{name} must be numbers, and has NaN")


def _result(raw: Mapping[str, Any]) -> TrainingResult:
    accuracy, stored = raw["validation_accuracy"], raw["stored_value"]
    return TrainingResult(
        epochs=_count(raw["epochs"]),
        steps=_count(raw["steps"]),
        training_examples=_count(raw["training_examples"]),
        validation_examples=_count(raw["validation_examples"]),
        training_loss=_number(raw["training_loss"]),
        validation_loss=_number(raw["validation_loss"]),
        validation_accuracy=None if accuracy is None else _share(accuracy),
        stored_value=None if stored is None else _number(stored),
        is_verified=_typed(raw["is_verified"], bool),
        trained_on=_word(raw["trained_on"], TrainedOn),
        scores={str(name): _number(value) for name, value in _typed(raw.get("scores", {}), dict).items()},
    )


def _word(value: Any, kind: Any) -> Any:
    """Return `value` if it is one of the words of a literal type."""
    if value not in words(kind):
        raise ValueError(f"{value!r:.40} must be one of {', '.join(words(kind))}")
    return value


def _typed(value: Any, kind: type[_T]) -> _T:
    """Return `value` if it is exactly of that type. Raises ValueError for another one: True is no whole number."""
    if type(value) is not kind:
        raise ValueError(f"{value!r:.40} must be of type {kind.__name__}")
    return value


def _count(value: Any) -> int:
    count = _typed(value, int)
    if count < 1:
        raise ValueError(f"{count} must be at least 1")
    return count


def _number(value: Any) -> float:
    """Return a number, which may be the text `nan`, `inf` or `-inf`."""
    return float(value) if value in ("nan", "inf", "-inf") else _typed(value, float)


def _share(value: Any) -> float:
    number = _number(value)
    if not 0 <= number <= 1:
        raise ValueError(f"{value!r:.40} must be from 0 to 1")
    return number


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(_typed(text, str) for text in _typed(value, list))


def _parameter(value: Any) -> ParameterValue:
    if not isinstance(value, bool | int | float | str):
        raise ValueError(f"{value!r:.40} must be a number, a flag or a text")  # noqa: TRY004 # as all damage
    return value
