"""The corpus on disk: every field of every record, in one compressed file.

What is measured stands in columns of float64. A column with many different numbers has its mantissas rounded to
KEPT_BITS, so that the range stays and the low bytes are zero and cost nothing; one with few, such as shares of units,
is kept as it is. All else is JSON. Records are taken apart and put together by their dataclass fields and their types,
so a new field needs nothing here but a corpus made anew, or its name in NEWER.
"""

import json
import lzma
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from types import NoneType
from typing import Any, Final, get_args, get_origin, get_type_hints

import numpy as np

from hpsearch.nn.arrays import Array
from hpsearch.telemetry import Epoch, LayerSample, Sample, Telemetry
from hpsearch.trials import collection_paused
from tests.benchmarks.diagnosis.runs import Run

CORPUS: Final = Path(__file__).parent / "corpus.xz"
VERSION: Final = 1
KEPT_BITS: Final = 13
"""Bits of a mantissa that are kept, the leading one included: a relative error of at most 2^-13."""

FEW: Final = 4096
"""A column with no more different numbers is not rounded."""

NEWER: Final = {
    "TrialFacts": {"scale", "metric", "program", "acts"},
    "TrainingSpec": {"class_weight", "keep", "order"},
    "DataFacts": {
        "input_is_constant",
        "features",
        "classes",
        "leaked",
        "contradicted",
        "leaked_places",
        "leaked_twins",
    },
    "ModelSpec": {
        "batch_norm_epsilon",
        "dropout_position",
        "dropout_layers",
        "dropout_scaling",
        "skip_connections",
    },
}
"""Fields that are newer than the corpus, by record. All its runs have their defaults: there was nothing else then."""

_HEAD: Final = 8
_COLUMNS: Final[Sequence[Any]] = (Sample, LayerSample, Epoch)


def save(runs: Sequence[Run], path: Path = CORPUS) -> None:
    """Write `runs` to `path`."""
    samples = [sample for run in runs for sample in run.telemetry.samples]
    measured: Mapping[Any, Sequence[Any]] = {
        Sample: samples,
        LayerSample: [layer for sample in samples for layer in sample.layers],
        Epoch: [epoch for run in runs for epoch in run.telemetry.epochs],
    }
    names = {kind.__name__: _scalars(kind) for kind in _COLUMNS}
    columns = [
        _packed([getattr(record, name) for record in measured[kind]], whole=types[name] is int)
        for kind in _COLUMNS
        for types in [_types(kind)]
        for name in names[kind.__name__]
    ]
    head = {
        "version": VERSION,
        "fields": names,
        "counts": {kind.__name__: len(measured[kind]) for kind in _COLUMNS},
        "runs": [_without_measures(run) for run in runs],
    }
    text = json.dumps(head, separators=(",", ":"), sort_keys=True).encode()
    body = len(text).to_bytes(_HEAD, "little") + text + b"".join(columns)
    path.write_bytes(lzma.compress(body, preset=6))


def load(path: Path = CORPUS) -> list[Run]:
    """Return the runs of a file that `save` wrote. Raises ValueError for another version or other fields."""
    body = lzma.decompress(path.read_bytes())
    start = _HEAD + int.from_bytes(body[:_HEAD], "little")
    head = json.loads(body[_HEAD:start])
    names = {kind.__name__: _scalars(kind) for kind in _COLUMNS}
    if head["version"] != VERSION or head["fields"] != names:
        raise ValueError(
            f"{path}: must have version {VERSION} and the fields of today's records"
            f" (got version {head['version']}): make it anew with `python -m tests.benchmarks.diagnosis.generate`"
        )
    read = _Columns(memoryview(body)[start:])
    with collection_paused():
        kept = {kind: read.records(kind, head["counts"][kind.__name__]) for kind in _COLUMNS}
        return _assembled(head["runs"], kept)


def _assembled(raw_runs: Sequence[Mapping[str, Any]], kept: Mapping[type[Any], Sequence[Any]]) -> list[Run]:
    """Return the runs, whose samples, layers and epochs are the next of `kept`."""
    layers, samples, epochs = iter(kept[LayerSample]), iter(kept[Sample]), iter(kept[Epoch])
    builders = {name: _builder(kind) for name, kind in _types(Run).items() if name != "telemetry"}
    runs = []
    for raw in raw_runs:
        measures = raw["telemetry"]
        made = []
        for _ in range(measures["samples"]):
            values = next(samples)
            values["layers"] = tuple(LayerSample(**next(layers)) for _ in range(measures["layers"]))
            made.append(Sample(**values))
        telemetry = Telemetry(
            steps=measures["steps"],
            samples=made,
            epochs=[Epoch(**next(epochs)) for _ in range(measures["epochs"])],
            nonfinite=_built(_types(Telemetry)["nonfinite"], measures["nonfinite"]),
        )
        values = {name: build(raw[name]) for name, build in builders.items()}
        runs.append(Run(**values, telemetry=telemetry))
    return runs


def _types(kind: Any) -> Mapping[str, Any]:
    """Return the types of a dataclass's fields."""
    return _known_types(kind)


@cache
def _known_types(kind: Any) -> Mapping[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def _scalars(kind: Any) -> list[str]:
    """Return the names of the fields that hold one number, or None."""
    return [
        name
        for name, hint in _types(kind).items()
        if set(get_args(hint) or (hint,)) <= {int, float, NoneType}
    ]


def _packed(values: Sequence[float | None], *, whole: bool) -> bytes:
    """Return a column as bytes: which entries are None, one bit each, then float64 in planes of their bytes."""
    numbers = np.array([0.0 if value is None else value for value in values], np.float64)
    if not whole and len(np.unique(numbers)) > FEW:
        numbers = _rounded(numbers)
    missing = np.packbits(np.array([value is None for value in values], bool))
    return missing.tobytes() + numbers.view(np.uint8).reshape(-1, 8).T.tobytes()


def _rounded(numbers: Array) -> Array:
    """Return the numbers with KEPT_BITS of mantissa; NaN and infinities as they are."""
    with np.errstate(all="ignore"):
        mantissa, exponent = np.frexp(numbers)
        short = np.ldexp(np.round(np.ldexp(mantissa, KEPT_BITS)), exponent - KEPT_BITS)
    kept: Array = np.where(np.isfinite(short), short, numbers)
    return kept


class _Columns:
    """Reads columns one after the other."""

    def __init__(self, body: memoryview) -> None:
        self._body = body
        self._at = 0

    def records(self, kind: type[Any], count: int) -> list[dict[str, Any]]:
        """Return the scalar fields of the next `count` records of a kind."""
        types = _types(kind)
        columns = {name: self._column(count, whole=types[name] is int) for name in _scalars(kind)}
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def _column(self, count: int, *, whole: bool) -> list[Any]:
        missing = np.unpackbits(self._take(-(-count // 8)), count=count).astype(bool)
        numbers = np.ascontiguousarray(self._take(8 * count).reshape(8, count).T).view(np.float64)[:, 0]
        values: list[Any] = (numbers.astype(np.int64) if whole else numbers).tolist()
        for i in np.flatnonzero(missing):
            values[i] = None
        return values

    def _take(self, size: int) -> Array:
        piece = np.frombuffer(self._body[self._at : self._at + size], np.uint8)
        self._at += size
        return piece


def _without_measures(run: Run) -> dict[str, Any]:
    """Return a run as JSON has it, with numbers of samples, layers and epochs in place of what was measured."""
    telemetry = run.telemetry
    layers = {len(sample.layers) for sample in telemetry.samples}
    if len(layers) > 1:
        raise ValueError(f"{run.base}, {run.injection}: all samples must have as many layers (got {layers})")
    raw = {name: _plain(getattr(run, name)) for name in _types(Run) if name != "telemetry"}
    raw["telemetry"] = {
        "steps": telemetry.steps,
        "samples": len(telemetry.samples),
        "layers": layers.pop() if layers else 0,
        "epochs": len(telemetry.epochs),
        "nonfinite": _plain(telemetry.nonfinite),
    }
    return raw


def _plain(value: Any) -> Any:
    """Return a record, or a collection of plain values, as JSON has it."""
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value


def _built(kind: Any, raw: Any) -> Any:
    """Return what `_plain` made plain, of the type `kind`."""
    return _builder(kind)(raw)


def _stored(kind: Any, raw: Mapping[str, Any]) -> Iterable[str]:
    """Return the names that `raw` has of a record. Raises ValueError if others than NEWER are missing or unknown."""
    names = _types(kind).keys()
    if (names ^ raw.keys()) - NEWER.get(kind.__name__, set()):
        raise ValueError(f"{kind.__name__}: must have the fields {', '.join(names)} (got {', '.join(raw)})")
    return raw.keys()


@cache
def _builder(kind: Any) -> Callable[[Any], Any]:
    """Return what turns the plain form of a `kind` back: looked up once, since a corpus has thousands of each."""
    arguments, origin = get_args(kind), get_origin(kind)
    if isinstance(kind, type) and is_dataclass(kind):
        parts = {name: _builder(hint) for name, hint in _types(kind).items()}
        return lambda raw: kind(**{name: parts[name](raw[name]) for name in _stored(kind, raw)})
    if NoneType in arguments:
        inner = _builder(next(argument for argument in arguments if argument is not NoneType))
        return lambda raw: None if raw is None else inner(raw)
    if origin in (tuple, frozenset):
        item = _builder(arguments[0])
        return lambda raw: origin(map(item, raw))
    return kind if isinstance(kind, type) and issubclass(kind, StrEnum) else lambda raw: raw
