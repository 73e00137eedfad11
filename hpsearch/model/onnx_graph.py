"""A graph of ONNX while it is built: nodes and constants, with names of their own."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, final

import numpy as np

from hpsearch.data.dataset import Array

Name: TypeAlias = str
"""The name of a tensor in a graph."""

ML_DOMAIN: Final = "ai.onnx.ml"
"""The domain of operators for texts, next to the default one."""

_PREFIX: Final = "hpsearch/"
"""Keeps names of tensors apart from those of columns, which are inputs of the graph."""


@final
@dataclass(kw_only=True, slots=True)
class Graph:
    """The nodes and constants of a graph so far. `kind` is the network's type of numbers."""

    kind: type[np.floating[Any]]
    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)

    def add(self, operation: str, *inputs: Name, name: Name | None = None, **attributes: Any) -> Name:
        """Append a node and return the name of its output."""
        from onnx import helper  # noqa: PLC0415 # an extra

        output = name or f"{_PREFIX}{operation}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operation, inputs, [output], name=f"{output}_node", **attributes))
        return output

    def constant(self, values: Array) -> Name:
        """Append a constant array, and return its name."""
        from onnx import numpy_helper  # noqa: PLC0415 # an extra

        name = f"{_PREFIX}constant_{len(self.constants)}"
        array = values.astype(object) if values.dtype.kind == "U" else values.copy()
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def number(self, value: float) -> Name:
        """Append a number in the network's precision, and return its name."""
        return self.constant(np.array(value, self.kind))

    def scaled(self, x: Name, factor: float) -> Name:
        """Append the product of `x` with a number, and return its name."""
        return self.add("Mul", x, self.number(factor))


def element_type(dtype: Any) -> int:
    """Return the number of ONNX's type of array elements."""
    from onnx import TensorProto, helper  # noqa: PLC0415 # an extra

    dtype = np.dtype(dtype)
    return int(TensorProto.STRING if dtype.kind == "U" else helper.np_dtype_to_tensor_dtype(dtype))


def tensor_info(name: Name, dtype: Any, shape: Sequence[str | int]) -> Any:
    """Return the declaration of an input or output of a graph."""
    from onnx import helper  # noqa: PLC0415 # an extra

    return helper.make_tensor_value_info(name, element_type(dtype), shape)
