"""A model as an ONNX graph, with preprocessing and unit, checked with onnxruntime against the model itself.

The input `inputs` (N, I) are raw numbers as float64, as the study read them: large ones would lose digits in float32
before they are scaled. A study with categories, dates or missing cells has an input for each column instead: see
`onnx_columns`. After scaling, the precision is that of the network. A classification has the outputs `label` (N,), the
class by its name (or whole number, or flag), and, if its outputs are probabilities, `probabilities` (N, C). A
regression has the output `prediction` (N, O) as float64 in the unit of the targets.

The graph has the operations of `nn` in their order, so that only the sums of matrix products can differ.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from hpsearch.data.dataset import Array
from hpsearch.data.scaling import Scaling
from hpsearch.errors import HpsearchError, UsageError
from hpsearch.installation import install_command
from hpsearch.model.description import model_object
from hpsearch.model.onnx_columns import column_feeds, column_inputs, column_sample, encoded
from hpsearch.model.onnx_graph import ML_DOMAIN, Graph, Name, element_type, tensor_info
from hpsearch.model.trained_model import TrainedModel
from hpsearch.nn.activations import GELU_CUBE, GELU_SCALE, SELU_ALPHA, SELU_SCALE, LeakyReLU
from hpsearch.nn.network import Block, BlockParameters
from hpsearch.study.spec import DropoutPosition

if TYPE_CHECKING:
    import onnx

OPSET: Final = 17
"""The version of ONNX's operators: of 2022, so that runtimes of the last years read the file (onnx 1.12)."""

ML_OPSET: Final = 3
"""The version of the operators for texts that belongs to these."""

IR_VERSION: Final = 8
"""The version of ONNX's file format that belongs to the operators (https://onnx.ai/onnx/repo-docs/Versioning.html)."""

CHECKED_ROWS: Final = 600
"""Rows on which the graph is compared with the model: more than one pass of an evaluation."""

TOLERANCE: Final[Mapping[str, float]] = {"float32": 1e-5, "float64": 1e-12}
"""Greatest difference of an output, relative to the largest one of its column, by the precision of the network.

Sums of products in another order differ by a few units in the last place for each layer; the test of this module
measures at most a tenth of these.
"""

_OUTPUTS: Final = ("label", "probabilities", "prediction")

_Arrays: TypeAlias = tuple[BlockParameters, tuple[Array, Array] | None]
"""A block's parameters, and its running mean and variance (1, O)."""


def check_onnx(where: str) -> None:
    """Raise UsageError, about `where`, unless the libraries for ONNX files are installed."""
    missing = [name for name in ("onnx", "onnxruntime") if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"{where}: .onnx needs {' and '.join(missing)} (got no such package): {install_command('onnx')}"
        )


def onnx_bytes(model: TrainedModel, *, where: str) -> bytes:
    """Return the contents of an ONNX file with the model.

    Raises HpsearchError, about `where`, for a model that no graph can have, and if onnxruntime predicts something else
    than the model.
    """
    model.preprocessing.check_without_fault(where)
    _check_names(model, where)
    contents: bytes = _proto(model).SerializeToString()
    _check(model, contents, where)
    return contents


def _proto(model: TrainedModel) -> "onnx.ModelProto":
    """Return the graph with its inputs, outputs and metadata."""
    from onnx import checker, helper  # noqa: PLC0415 # an extra

    graph, network = Graph(kind=model.parameters.dtype.type), model.network
    encoding = model.preprocessing.encoding
    raw = "inputs" if encoding is None else encoded(graph, encoding)
    x = graph.add("Cast", _scaled(graph, model.preprocessing.scaling, raw), to=element_type(graph.kind))
    parameters, running = network.views(model.parameters[None]), network.running_views(model.running[None])
    for block, arrays in zip(network.blocks, zip(parameters, running, strict=True), strict=True):
        x = _block(graph, block, arrays, model.spec.model.activation, x)
    outputs = _classes(graph, model, x) if model.classes else _numbers(graph, model, x)
    inputs = [tensor_info("inputs", np.float64, ["N", model.inputs])]
    made = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "hpsearch",
            inputs if encoding is None else column_inputs(encoding),
            outputs,
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(ML_DOMAIN, ML_OPSET)],
        ir_version=IR_VERSION,
        producer_name="hpsearch",
        producer_version=model.versions.get("hpsearch", ""),
        doc_string=f'trial {model.trial} of the study "{model.spec.name}"',
    )
    helper.set_model_props(made, {name: json.dumps(value) for name, value in model_object(model).items()})
    checker.check_model(made, full_check=True)
    return made


def _scaled(graph: Graph, scaling: Scaling, x: Name) -> Name:
    """Return (x - offset) / divisor in float64. A constant input has an infinite divisor, and becomes 0."""
    if scaling.kind == "none":
        return x
    centered = graph.add("Sub", x, graph.constant(scaling.offset))
    return graph.add("Div", centered, graph.constant(scaling.divisor))


def _block(graph: Graph, block: Block, arrays: _Arrays, activation: str, x: Name) -> Name:
    """Return a block's output for `x`, as `Network.evaluate` computes it."""
    p, running = arrays
    y = graph.add("Add", graph.add("MatMul", x, graph.constant(p.w[0])), graph.constant(p.b[0]))
    y = _shrunk(graph, block, y, at="before_normalization")
    if block.norm is not None and running is not None:
        mean, variance = running[0][0], running[1][0]
        y = graph.add("Sub", y, graph.constant(mean))
        y = graph.add("Div", y, graph.constant(np.sqrt(variance + block.norm.epsilon)))
    if p.gamma is not None and p.beta is not None:
        y = graph.add("Add", graph.add("Mul", y, graph.constant(p.gamma[0])), graph.constant(p.beta[0]))
    if block.activation is not None:
        y = _activated(graph, activation, y)
    y = _shrunk(graph, block, y, at="after_activation")
    return graph.add("Add", y, x) if block.skip else y


def _shrunk(graph: Graph, block: Block, y: Name, *, at: DropoutPosition) -> Name:
    """Return `y` times the factor of dropout in evaluation, if it acts `at` that place."""
    return graph.scaled(y, block.kept) if block.kept < 1 and block.dropout == at else y


def _activated(graph: Graph, name: str, z: Name) -> Name:
    """Return an activation of `nn.activations` of `z`."""
    return _ACTIVATIONS[name](graph, z)


def _exponential_linear(graph: Graph, z: Name, *, alpha: float = 1.0) -> Name:
    """Return z where it is positive, and alpha (exp(z) - 1) elsewhere."""
    negative = graph.add("Exp", graph.add("Min", z, graph.number(0)))
    negative = graph.scaled(graph.add("Sub", negative, graph.number(1)), alpha)
    return graph.add("Add", graph.add("Max", z, graph.number(0)), negative)


def _sigmoid(graph: Graph, z: Name) -> Name:
    """Return 1 / (1 + exp(-z)): the operator Sigmoid of onnxruntime is less exact for float32."""
    return graph.add("Reciprocal", graph.add("Add", graph.add("Exp", graph.add("Neg", z)), graph.number(1)))


def _gelu(graph: Graph, z: Name) -> Name:
    """Return z (1 + tanh(sqrt(2 / pi) (z + 0.044715 z^3))) / 2."""
    cube = graph.add("Mul", graph.add("Mul", z, z), z)
    inner = graph.scaled(graph.add("Add", z, graph.scaled(cube, GELU_CUBE)), GELU_SCALE)
    share = graph.scaled(graph.add("Add", graph.add("Tanh", inner), graph.number(1)), 0.5)
    return graph.add("Mul", z, share)


_ACTIVATIONS: Final[Mapping[str, Callable[[Graph, Name], Name]]] = {
    "relu": lambda graph, z: graph.add("Max", z, graph.number(0)),
    "leaky_relu": lambda graph, z: graph.add("Max", z, graph.scaled(z, LeakyReLU().slope)),
    "elu": _exponential_linear,
    "selu": lambda graph, z: graph.scaled(_exponential_linear(graph, z, alpha=SELU_ALPHA), SELU_SCALE),
    "sigmoid": _sigmoid,
    "tanh": lambda graph, z: graph.add("Tanh", z),
    "identity": lambda _graph, z: z,
    "softmax": lambda graph, z: graph.add("Softmax", z, axis=-1),
    "silu": lambda graph, z: graph.add("Mul", z, _sigmoid(graph, z)),
    "gelu": _gelu,
}
"""Every activation, in operators that onnxruntime has for float64 too."""


def _classes(graph: Graph, model: TrainedModel, logits: Name) -> list[Any]:
    """Add the class and the probabilities of logits (N, C), and return the outputs."""
    if model.outputs == 1:
        flat = graph.add("Reshape", logits, graph.constant(np.array([-1], np.int64)))
        place = graph.add("Cast", graph.add("Greater", flat, graph.number(0)), to=element_type(np.int64))
    else:
        place = graph.add("ArgMax", logits, axis=1, keepdims=0)
    labels = model.labels
    graph.add("Gather", graph.constant(labels), place, name="label")
    outputs = [tensor_info("label", labels.dtype, ["N"])]
    if model.has_probabilities:
        _probabilities(graph, model, _activated(graph, model.output, logits))
        outputs.append(tensor_info("probabilities", graph.kind, ["N", len(model.classes)]))
    return outputs


def _probabilities(graph: Graph, model: TrainedModel, shares: Name) -> None:
    """Add the probabilities (N, C) of outputs (N, C) or (N, 1), as `predict_probabilities` has them."""
    if model.outputs == 1:
        graph.add("Concat", graph.add("Sub", graph.number(1), shares), shares, name="probabilities", axis=1)
        return
    total = graph.add("ReduceSum", shares, graph.constant(np.array([1], np.int64)), keepdims=1)
    is_zero = graph.add("Equal", total, graph.number(0))
    divided = graph.add("Div", shares, graph.add("Where", is_zero, graph.number(1), total))
    graph.add("Where", is_zero, graph.number(1 / model.outputs), divided, name="probabilities")


def _numbers(graph: Graph, model: TrainedModel, logits: Name) -> list[Any]:
    """Add the numbers (N, O) in the unit of the targets, and return the output."""
    values = graph.add("Cast", _activated(graph, model.output, logits), to=element_type(np.float64))
    scaling = model.target_scaling
    values = graph.add("Mul", values, graph.constant(scaling.divisor))
    graph.add("Add", values, graph.constant(scaling.offset), name="prediction")
    return [tensor_info("prediction", np.float64, ["N", model.outputs])]


def _check(model: TrainedModel, contents: bytes, where: str) -> None:
    """Raise HpsearchError unless onnxruntime predicts what the model predicts, on rows like those of the training."""
    import onnxruntime  # noqa: PLC0415 # an extra

    inputs = _sample(model)
    encoding = model.preprocessing.encoding
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(contents, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    feeds = {"inputs": inputs} if encoding is None else column_feeds(encoding, inputs)
    made = dict(zip(names, session.run(names, feeds), strict=True))
    if (difference := _difference(model, inputs, made)) is not None:
        raise HpsearchError(
            f"{where}: onnxruntime must predict what the model predicts (got {difference}): export it as .npz"
        )


def _check_names(model: TrainedModel, where: str) -> None:
    """Raise HpsearchError if two inputs or outputs of the graph would have one name."""
    if model.preprocessing.encoding is None:
        return
    names = Counter([*(each.column.name for each in model.preprocessing.encoding.columns), *_OUTPUTS])
    if shared := [name for name, count in names.items() if count > 1]:
        raise HpsearchError(
            f"{where}: columns of an .onnx file must have different names, other than {', '.join(_OUTPUTS)} "
            f'(got "{shared[0]}" twice): rename the column, or export it as .npz'
        )


def _sample(model: TrainedModel) -> Array:
    """Return raw inputs (N, R) around those of the training part, always the same."""
    scaling, encoding = model.preprocessing.scaling, model.preprocessing.encoding
    divisor = np.resize(scaling.divisor, model.inputs)
    centers, spreads = np.resize(scaling.offset, model.inputs), np.where(np.isfinite(divisor), divisor, 1.0)
    if encoding is not None:
        return column_sample(encoding, CHECKED_ROWS, centers, spreads)
    rows: Array = centers + spreads * np.random.default_rng(0).normal(size=(CHECKED_ROWS, model.inputs))
    return rows


def _difference(model: TrainedModel, inputs: Array, made: Mapping[str, Array]) -> str | None:
    """Return the first difference in words, or None if there is none beyond rounding."""
    tolerance = TOLERANCE[model.spec.training.precision]
    if not model.classes:
        expected = model.predict(inputs).reshape(len(inputs), -1)
        return _distance_words(made["prediction"], expected, tolerance)
    if model.has_probabilities:
        shares = model.predict_probabilities(inputs)
        if (words := _distance_words(made["probabilities"], shares, tolerance)) is not None:
            return words
    answers = model.predict(inputs)
    other = np.flatnonzero(made["label"] != answers)
    # Outputs that are equal but for rounding may be answered either way.
    is_rounding = model.has_probabilities and all(_is_tie(row, tolerance) for row in shares[other])
    if not len(other) or is_rounding:
        return None
    return f'the class "{made["label"][other[0]]}" instead of "{answers[other[0]]}"'


def _is_tie(shares: Array, tolerance: float) -> bool:
    second, first = np.sort(shares)[-2:]
    return bool(first - second <= tolerance)


def _distance_words(made: Array, expected: Array, tolerance: float) -> str | None:
    """Return the largest difference in words if it exceeds `tolerance` times the largest number of its column."""
    scale = np.maximum(np.abs(expected).max(axis=0), np.finfo(np.float64).tiny)
    distance = np.abs(made.astype(np.float64) - expected) / scale
    if (distance <= tolerance).all():
        return None
    row, column = np.unravel_index(int(np.nan_to_num(distance, nan=np.inf).argmax()), distance.shape)
    return f"{made[row, column]:.9g} instead of {expected[row, column]:.9g}"
