"""Values that our tables store packed: the series of a trial, and its finding."""

import json
import math
import zlib
from array import array
from collections.abc import Mapping
from functools import lru_cache
from sys import byteorder
from typing import Any, Final

from hpsearch.errors import StorageError
from hpsearch.telemetry import Series
from hpsearch.verdicts import Cause, Finding, known_cause

SERIES_FORMAT: Final = 1
"""zlib over a line of JSON (the names, in order) followed by little-endian float32 of each name."""


_NUMBER_BYTES: Final = 4

_UNREADABLE_SERIES: Final = "it is damaged, or another program wrote it; see `hpsearch storage check --full`"

SERIES_MAX_BYTES: Final = 16 * 2**20
"""Most bytes that a series expands to, about 130 MB as Python numbers: 170,000 samples of 25 statistics."""


def pack_series(series: Series) -> bytes:
    """Return `series` in `SERIES_FORMAT`; very long ones keep only every second, third, ... number.

    Raises ValueError if they are not equally long.
    """
    lengths = {len(values) for values in series.values()}
    if len(lengths) > 1:
        raise ValueError(f"series: must be equally long (got lengths {sorted(lengths)})")
    stride = 1 + len(series) * max(lengths, default=0) * _NUMBER_BYTES // (SERIES_MAX_BYTES // 2)
    kept = {name: values[::stride] for name, values in series.items()}
    length = max(map(len, kept.values()), default=0)
    header = _header(tuple(series), length)
    numbers = array("f", [number for values in kept.values() for number in values])
    if byteorder == "big":
        numbers.byteswap()
    return zlib.compress(header + b"\n" + numbers.tobytes())


@lru_cache(maxsize=256)
def _header(names: tuple[str, ...], length: int) -> bytes:
    return json.dumps({"names": names, "length": length}).encode()


def unpack_series(series_format: int, payload: bytes) -> Series:
    """Return the series that `pack_series` packed, in float32 precision.

    Raises StorageError for a newer hpsearch's format, for damaged bytes, and for bytes that expand to too many.
    """
    if series_format != SERIES_FORMAT:
        raise StorageError(
            f"series: format must be at most {SERIES_FORMAT} (got {series_format}): use a newer hpsearch"
        )
    header, _, body = _expanded(payload).partition(b"\n")
    names, length = _layout(header)
    if len(body) != len(names) * length * _NUMBER_BYTES:
        raise StorageError(
            f"series: must hold {length} numbers for each of {len(names)} names (got {len(body)} bytes): "
            f"{_UNREADABLE_SERIES}"
        )
    numbers = array("f")
    numbers.frombytes(body)
    if byteorder == "big":
        numbers.byteswap()
    values = numbers.tolist()
    return {name: values[i * length : (i + 1) * length] for i, name in enumerate(names)}


def readable_series(series_format: int, payload: bytes) -> Series | None:
    """Return the series of `unpack_series`, or None if they are damaged or written by a newer hpsearch."""
    try:
        return unpack_series(series_format, payload)
    except (StorageError, TypeError, ValueError):
        return None


def _expanded(payload: bytes) -> bytes:
    """Return the decompressed bytes. Never expands more than the bound."""
    expander = zlib.decompressobj()
    try:
        content = expander.decompress(payload, SERIES_MAX_BYTES + 1)
    except zlib.error as error:
        raise StorageError(
            f"series: must be zlib data (got {error}, in {len(payload)} bytes): {_UNREADABLE_SERIES}"
        ) from None
    if len(content) > SERIES_MAX_BYTES:
        raise StorageError(
            f"series: must expand to at most {SERIES_MAX_BYTES} bytes (got more, from {len(payload)} bytes): "
            f"{_UNREADABLE_SERIES}"
        )
    if not expander.eof:
        raise StorageError(f"series: must be whole (got {len(payload)} bytes of it): {_UNREADABLE_SERIES}")
    return content


def _layout(header: bytes) -> tuple[list[str], int]:
    """Return the names of the series and their length."""
    try:
        layout = json.loads(header)
        names, length = layout["names"], layout["length"]
    except (ValueError, TypeError, LookupError, RecursionError):
        names, length = None, None
    are_names = isinstance(names, list) and all(isinstance(name, str) for name in names)
    if not are_names or len(set(names)) < len(names) or type(length) is not int or length < 0:
        raise StorageError(
            f"series: must begin with its names and length (got {header[:80]!r}): {_UNREADABLE_SERIES}"
        )
    return names, length


def pack_finding(finding: Finding) -> str:
    """Return `finding` as JSON text. Numbers that JSON lacks are written as their names."""
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
    """Return the finding that `pack_finding` packed. Keys of a newer hpsearch are ignored.

    Raises StorageError if the text is no finding.
    """
    try:
        raw: Mapping[str, Any] = json.loads(text)
        finding = Finding(
            cause=Cause(raw["cause"]),
            confidence=float(raw["confidence"]),
            first_step=raw["first_step"],
            evidence={name: float(number) for name, number in raw["evidence"].items()},
            remedy=raw["remedy"],
            suggested=dict(raw["suggested"]),
        )
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError, OverflowError) as error:
        raise _no_finding(text, f"{type(error).__name__}: {error}") from None
    if type(finding.first_step) is not int or not isinstance(finding.remedy, str):
        raise _no_finding(text, "first_step must be a whole number and remedy a text")
    if not all(isinstance(value, int | float | str) for value in finding.suggested.values()):
        raise _no_finding(text, "suggested values must be numbers or texts")
    return finding


def _no_finding(text: str, why: str) -> StorageError:
    return StorageError(
        f"finding: must be a finding as JSON (got {text[:80]!r}; {why}): it is damaged, or of a newer hpsearch"
    )


def readable_finding(text: str) -> Finding:
    """Return the finding of `unpack_finding`, as far as it can be read.

    A cause that only a newer hpsearch has, and text that is no finding, become `inconclusive`; the remedy explains why.
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
"""Most characters of an error that a remedy shows."""


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
