"""What our tables hold as one value: the series of a trial, and its finding."""

import json
import math
import zlib
from array import array
from collections.abc import Mapping
from sys import byteorder
from typing import Any, Final

from hpsearch.errors import StorageError
from hpsearch.records import Cause, Finding, Series

SERIES_FORMAT: Final = 1
"""zlib over a line of JSON (the names, in order) and, name by name, little-endian float32."""


def pack_series(series: Series) -> bytes:
    """Return `series` in `SERIES_FORMAT`. Raises ValueError when they are not equally long."""
    lengths = {len(values) for values in series.values()}
    if len(lengths) > 1:
        raise ValueError(f"series: must be equally long (got lengths {sorted(lengths)})")
    header = json.dumps({"names": list(series), "length": max(lengths, default=0)})
    numbers = array("f", [number for values in series.values() for number in values])
    if byteorder == "big":
        numbers.byteswap()
    return zlib.compress(header.encode() + b"\n" + numbers.tobytes())


def unpack_series(series_format: int, payload: bytes) -> Series:
    """Return the series that `pack_series` packed, as float32 kept them.

    Raises StorageError for a format of a newer hpsearch.
    """
    if series_format != SERIES_FORMAT:
        raise StorageError(
            f"series: format must be at most {SERIES_FORMAT} (got {series_format}): use a newer hpsearch"
        )
    header, _, body = zlib.decompress(payload).partition(b"\n")
    names, length = (layout := json.loads(header))["names"], layout["length"]
    numbers = array("f")
    numbers.frombytes(body)
    if byteorder == "big":
        numbers.byteswap()
    values = numbers.tolist()
    return {name: values[i * length : (i + 1) * length] for i, name in enumerate(names)}


def pack_finding(finding: Finding) -> str:
    """Return `finding` as JSON text. Numbers that JSON does not know stand as their names."""
    return json.dumps(
        {
            "cause": finding.cause.value,
            "confidence": _to_json(finding.confidence),
            "first_step": finding.first_step,
            "evidence": {name: _to_json(number) for name, number in finding.evidence.items()},
            "remedy": finding.remedy,
            "suggested": dict(finding.suggested),
        },
        allow_nan=False,
    )


def unpack_finding(text: str) -> Finding:
    """Return the finding that `pack_finding` packed. Keys of a newer hpsearch are left aside."""
    raw: Mapping[str, Any] = json.loads(text)
    return Finding(
        cause=Cause(raw["cause"]),
        confidence=float(raw["confidence"]),
        first_step=raw["first_step"],
        evidence={name: float(number) for name, number in raw["evidence"].items()},
        remedy=raw["remedy"],
        suggested=raw["suggested"],
    )


def _to_json(number: float) -> float | str:
    return float(number) if math.isfinite(number) else str(float(number))
