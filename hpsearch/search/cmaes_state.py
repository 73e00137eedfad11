"""The state of CMA-ES as numbers: Optuna stores a pickle, and a pickle from a database can run any code.

Our own trials carry the state as JSON under `ATTRIBUTE`. Optuna's sampler gets it as a pickle that this process has
just made. `plain_state` reads the `cma:optimizer:*` of other clients and older versions, and builds only numbers, texts
and arrays of numbers: it allows the few functions that such a pickle calls, checks their arguments, and calls none of
them.
"""

import math
import pickle
import pickletools
import re
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from io import BytesIO
from typing import Any, Final, final

import numpy as np

ATTRIBUTE: Final = "hpsearch:cmaes"
"""The attribute of a trial with the state after the generation that its sampler completed."""

PICKLE: Final = "cma:optimizer"
"""The start of the keys under which Optuna's CmaEsSampler keeps its state."""

_PICKLES: Final = re.compile(r"((?:cma|sepcma|cmawm):(?:[^:]*:restart_[0-9]+:)?optimizer).*", re.DOTALL)
"""The keys of its variants, also in older versions; the group is the start of the key."""

_LONGEST: Final = 1 << 20
"""Most characters of a pickle in hexadecimal digits: 250 parameters need half of that."""

_PIECE: Final = 2045
"""Characters of a pickle in one attribute (optuna.samplers._cmaes._SYSTEM_ATTR_MAX_LENGTH)."""

_LARGEST: Final = 1e32
"""The largest step size in cmaes (`_SIGMA_MAX`)."""

_SMALLEST: Final = 1e-100

_OPERATIONS: Final = frozenset(
    [
        "PROTO",
        "FRAME",
        "STOP",
        "MARK",
        "NONE",
        "NEWTRUE",
        "NEWFALSE",
        "BININT",
        "BININT1",
        "BININT2",
        "LONG1",
        "BINFLOAT",
        "BINUNICODE",
        "SHORT_BINUNICODE",
        "BINBYTES",
        "SHORT_BINBYTES",
        "BYTEARRAY8",
        "EMPTY_DICT",
        "SETITEM",
        "SETITEMS",
        "EMPTY_TUPLE",
        "TUPLE",
        "TUPLE1",
        "TUPLE2",
        "TUPLE3",
        "BINGET",
        "LONG_BINGET",
        "BINPUT",
        "LONG_BINPUT",
        "MEMOIZE",
        "GLOBAL",
        "STACK_GLOBAL",
        "REDUCE",
        "NEWOBJ",
        "BUILD",
    ]
)
"""The opcodes of a pickled CMA-ES optimizer, in protocols 2 to 5."""

_UNREADABLE: Final = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    TypeError,
    ValueError,
    pickle.PickleError,
    struct.error,
)
"""The exceptions that reading a damaged pickle raises."""

_FORMATS: Final = {"f8": "d", "i8": "q", "i4": "i", "b1": "?"}
"""NumPy's name of a type -> that of `struct`."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class CmaesState:
    """An optimizer after `generation` generations over n parameters, scaled to [0, 1].

    `covariance` is the upper triangle of the matrix C, row by row; `path` and `path_of_step` are the evolution paths
    p_c and p_sigma (Hansen, The CMA Evolution Strategy: A Tutorial, arXiv:1604.00772).
    """

    generation: int
    mean: tuple[float, ...]
    step: float
    covariance: tuple[float, ...]
    path: tuple[float, ...]
    path_of_step: tuple[float, ...]


def to_json(state: CmaesState) -> dict[str, Any]:
    """Return `state` as a JSON value with every bit of its numbers."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(state).items()}


def from_json(raw: object) -> CmaesState | None:
    """Return the state in the output of `to_json`, or None for any other value."""
    if not isinstance(raw, Mapping) or set(raw) != set(CmaesState.__slots__):
        return None
    listed = {key: raw[key] for key in ("mean", "covariance", "path", "path_of_step")}
    if not all(isinstance(value, list | tuple) for value in listed.values()):
        return None
    return _checked({**raw, **listed})


def from_pickle(attributes: Mapping[str, object]) -> CmaesState | None:
    """Return the state that Optuna stored in the `attributes` of a trial, or None if there is no valid one."""
    state = plain_state(attributes, PICKLE)
    if state is None or state.get("_lr_adapt", False) is not False:
        return None
    names = {
        "generation": "_g",
        "mean": "_mean",
        "step": "_sigma",
        "covariance": "_c_1d",
        "path": "_pc",
        "path_of_step": "_p_sigma",
    }
    return _checked({name: _unwrapped(state.get(key)) for name, key in names.items()})


def to_pickle(state: CmaesState) -> dict[str, str]:
    """Return the attributes from which Optuna's sampler continues with `state`."""
    from cmaes import CMA  # noqa: PLC0415  # the package is needed by this sampler alone

    count = len(state.mean)
    optimizer = CMA(
        mean=np.full(count, 0.5),
        sigma=1.0,
        bounds=np.tile([0.0, 1.0], (count, 1)),
        n_max_resampling=10 * count,
    )
    optimizer.__setstate__(
        optimizer.__getstate__()
        | {
            "_g": state.generation,
            "_mean": np.array(state.mean),
            "_sigma": np.float64(state.step),
            "_c_1d": np.array(state.covariance),
            "_pc": np.array(state.path),
            "_p_sigma": np.array(state.path_of_step),
        }
    )
    text = pickle.dumps(optimizer).hex()
    return {
        f"{PICKLE}:{start // _PIECE}": text[start : start + _PIECE] for start in range(0, len(text), _PIECE)
    }


def without_pickles(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `attributes` of a trial without pickles of an optimizer; its state is under `ATTRIBUTE`."""
    kept = {key: value for key, value in attributes.items() if _PICKLES.fullmatch(key) is None}
    if len(kept) == len(attributes) or (state := from_pickle(attributes)) is None:
        return kept
    return {ATTRIBUTE: to_json(state)} | kept


def with_plain_pickles(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the `attributes` of a trial without those pickles of an optimizer that contain more than numbers."""
    begins = {match[1] for key in attributes if (match := _PICKLES.fullmatch(key))}
    unsafe = tuple(begin for begin in begins if plain_state(attributes, begin) is None)
    return {key: v for key, v in attributes.items() if not key.startswith(unsafe)} if unsafe else attributes


def plain_state(attributes: Mapping[str, object], prefix: str) -> Mapping[str, Any] | None:
    """Return the fields of the optimizer that is pickled under `prefix`, or None if it is more than numbers.

    Nothing that the pickle names is imported or called. Arrays and numbers of NumPy are `_Array`.
    """
    pieces = {key: value for key, value in attributes.items() if key.startswith(prefix)}
    ordered = [pieces.get(f"{prefix}:{index}") for index in range(len(pieces))]
    text = "".join(piece for piece in ordered if isinstance(piece, str))
    if not text or len(text) > _LONGEST or not all(isinstance(piece, str) for piece in ordered):
        return None
    try:
        content = bytes.fromhex(text)
        _check_operations(content)
        read = _Reader(BytesIO(content)).load()
    except _UNREADABLE:
        return None
    return read.fields if isinstance(read, _Fields) else None


def _check_operations(content: bytes) -> None:
    """Raise ValueError for a pickle with operations that an optimizer's lacks, or that needs too much memory."""
    for operation, argument, _ in pickletools.genops(content):
        if operation.name not in _OPERATIONS:
            raise ValueError(f"pickle: no optimizer needs this operation (got {operation.name})")
        if operation.name.endswith("PUT") and (argument is None or argument >= len(content)):
            raise ValueError(f"pickle: its memo must not be larger than itself (got {argument})")


@final
class _Fields:
    """The substitute of an optimizer: its fields."""

    fields: Mapping[str, Any]

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
            raise ValueError("pickle: the fields of an optimizer must be a table")
        if not all(isinstance(value, _PLAIN) for value in state.values()):
            raise ValueError("pickle: the fields of an optimizer must be numbers")
        self.fields = dict(state)


@final
class _Type:
    """The substitute of a type of NumPy: little-endian numbers, or truth values."""

    def __init__(self, name: object, align: object = False, copy: object = True) -> None:  # noqa: FBT002
        if (align, copy) != (False, True):
            raise ValueError(f"pickle: a type must be plain (got {name!r})")
        self.format = _FORMATS[str(name)]

    def __setstate__(self, state: object) -> None:
        if state not in [(3, order, None, None, None, -1, -1, 0) for order in "<|"]:
            raise ValueError(f"pickle: a type must be a little-endian number (got {state!r})")

    def numbers(self, raw: object) -> tuple[Any, ...]:
        """Return the numbers in these bytes, which are Latin-1 text in old protocols."""
        content = raw.encode("latin1") if isinstance(raw, str) else raw
        if not isinstance(content, bytes | bytearray):
            raise TypeError("pickle: the numbers of an array must be bytes")
        return struct.unpack(f"<{len(content) // struct.calcsize(self.format)}{self.format}", content)


@final
class _Array:
    """The substitute of an array of NumPy: its numbers, in the order of its memory."""

    def __init__(self) -> None:
        self.numbers: tuple[Any, ...] = ()

    def __setstate__(self, state: object) -> None:
        version, shape, of_type, is_fortran, raw = state  # type: ignore[misc]
        if version != 1 or not isinstance(is_fortran, bool):  # type: ignore[has-type]
            raise ValueError("pickle: an array must be of version 1")
        self.fill(of_type, raw, shape)  # type: ignore[has-type]

    def fill(self, of_type: object, raw: object, shape: object) -> None:
        """Set the numbers, in place. Raises ValueError if their count differs from that of `shape`."""
        if not isinstance(of_type, _Type) or not isinstance(shape, tuple):
            raise TypeError("pickle: an array must have a type and a shape")
        self.numbers = of_type.numbers(raw)
        if not all(type(size) is int and size >= 0 for size in shape) or math.prod(shape) != len(
            self.numbers
        ):
            raise ValueError(f"pickle: an array must be as large as its shape (got {shape})")


_PLAIN: Final = (int, float, type(None), _Array, _Fields)


def _array(subtype: object, shape: object, code: object) -> _Array:
    if subtype is not _array_type or shape != (0,) or code not in (b"b", "b"):
        raise ValueError("pickle: an array must begin empty")
    return _Array()


def _array_type() -> None:
    """Substitute the class of arrays, which is an argument of `_array`."""
    raise ValueError("pickle: arrays must not be made directly")


def _array_from_buffer(raw: object, of_type: object, shape: object, order: object) -> _Array:
    if order not in ("C", "F"):
        raise ValueError(f"pickle: the order of an array must be C or F (got {order!r})")
    made = _Array()
    made.fill(of_type, raw, shape)
    return made


def _number(of_type: object, raw: object) -> Any:
    made = _Array()
    made.fill(of_type, raw, (1,))
    return made.numbers[0]


def _encoded(text: object, encoding: object) -> bytes:
    """Substitute `codecs.encode`, with which old protocols write bytes."""
    if not isinstance(text, str) or encoding != "latin1":
        raise ValueError(f"pickle: bytes must be Latin-1 (got {encoding!r})")
    return text.encode("latin1")


_SUBSTITUTES: Final[Mapping[tuple[str, str], Callable[..., Any]]] = {
    ("cmaes._cma", "CMA"): _Fields,
    ("cmaes._sepcma", "SepCMA"): _Fields,
    ("cmaes._cmawm", "CMAwM"): _Fields,
    ("numpy", "dtype"): _Type,
    ("numpy", "ndarray"): _array_type,
    ("_codecs", "encode"): _encoded,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _array for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _number for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _array_from_buffer for core in ("core", "_core")},
}
"""The names in a pickle of an optimizer -> their substitutes here."""


@final
class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Return the substitute of `name`. Raises UnpicklingError for a name that no optimizer uses."""
        if (module, name) not in _SUBSTITUTES:
            raise pickle.UnpicklingError(f"pickle: no optimizer names {module}.{name}")
        return _SUBSTITUTES[module, name]


def _unwrapped(value: object) -> object:
    return value.numbers if isinstance(value, _Array) else value


def _checked(raw: Mapping[str, Any]) -> CmaesState | None:
    """Return the state with these fields, or None if an optimizer could not continue with them."""
    generation, step = raw["generation"], raw["step"]
    arrays = [raw[key] for key in ("mean", "path", "path_of_step", "covariance")]
    if type(generation) is not int or not 0 <= generation < 2**31 or not _are_numbers([step]):
        return None
    if not all(isinstance(array, list | tuple) and _are_numbers(array) for array in arrays):
        return None
    count = len(arrays[0])
    if [len(array) for array in arrays[1:]] != [count, count, count * (count + 1) // 2] or count == 0:
        return None
    if not _SMALLEST <= step <= _LARGEST or not _is_invertible(arrays[3], count):
        return None
    return CmaesState(
        generation=generation,
        step=float(step),
        **{key: tuple(map(float, raw[key])) for key in ("mean", "covariance", "path", "path_of_step")},
    )


def _are_numbers(values: Sequence[Any]) -> bool:
    return all(type(value) in (int, float) and abs(value) <= _LARGEST for value in values)


def _is_invertible(triangle: Sequence[float], count: int) -> bool:
    """Return True for a matrix that gives finite steps; cmaes divides by the square roots of its eigenvalues."""
    matrix = np.zeros((count, count))
    matrix[np.triu_indices(count)] = triangle
    eigenvalues = np.linalg.eigvalsh(matrix, UPLO="U")
    return bool(np.all(np.abs(eigenvalues) >= _SMALLEST))
