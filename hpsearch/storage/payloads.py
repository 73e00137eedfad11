"""What our tables hold as one value: the series of a trial, and its finding."""

import json
import math
import zlib
from array import array
from collections.abc import Mapping
from sys import byteorder
from typing import Any, Final

from hpsearch.errors import StorageError
from hpsearch.records import Cause, Finding, Series, known_cause

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


def readable_series(series_format: int, payload: bytes) -> Series:
    """Return the series of `unpack_series`; none where they are damaged, or of a newer hpsearch."""
    try:
        return unpack_series(series_format, payload)
    except (ArithmeticError, LookupError, StorageError, TypeError, ValueError, zlib.error):
        return {}


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
    """Return the finding that `pack_finding` packed. Keys of a newer hpsearch are left aside.

    A cause that only a newer one knows, and a text that is no finding, are `inconclusive`, and the remedy says so.
    """
    try:
        return _finding(json.loads(text))
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        return Finding(
            cause=Cause.INCONCLUSIVE,
            confidence=0.0,
            first_step=0,
            evidence={},
            remedy=f"The stored verdict cannot be read ({type(error).__name__}: {str(error)[:_SHOWN]}).",
        )


_SHOWN: Final = 60
"""Characters of an error that a remedy shows."""


def _finding(raw: Mapping[str, Any]) -> Finding:
    cause, remedy = known_cause(raw["cause"]), str(raw["remedy"])
    is_newer = cause.value != raw["cause"]
    return Finding(
        cause=cause,
        confidence=float(raw["confidence"]),
        first_step=max(0, int(raw["first_step"])),
        evidence={name: float(number) for name, number in raw["evidence"].items()},
        remedy=f"A newer hpsearch calls it {raw['cause']}: {remedy}" if is_newer else remedy,
        suggested={k: v for k, v in raw["suggested"].items() if isinstance(v, float | int | str)},
    )


def _to_json(number: float) -> float | str:
    return float(number) if math.isfinite(number) else str(float(number))
