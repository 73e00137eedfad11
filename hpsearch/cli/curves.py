"""A trial's curves as text: dots of Braille, or stars where the output has none; NaN and infinity in a row below."""

import math
import sys
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final

from hpsearch.cli.output import answer
from hpsearch.records import Series, Trial
from hpsearch.report.formats import format_metric
from hpsearch.study.amounts import format_number

_COLUMNS: Final = 56
_ROWS: Final = 6
_BRAILLE: Final = 0x2800
_DOTS: Final = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""The bit of each dot of a Braille character, by row from the top and column (Unicode, block 2800)."""

_LOGARITHMIC_FROM: Final = 100.0
"""Values of one sign that span more than this are drawn by their logarithms."""


def write_curves(trial: Trial, metric: str, series: Series) -> None:
    """Write the trial's metric and training loss by epoch to stdout, where there are two epochs or more."""
    curves = {metric: trial.curve, "training_loss": dict(enumerate(series.get("training_loss", ())))}
    for name, curve in curves.items():
        if len(curve) > 1:
            answer()
            answer(f"{format_metric(name)} by epoch")
            for line in plot(curve, is_braille=_takes_braille()):
                answer(line)


def _takes_braille() -> bool:
    """Say whether stdout can take Braille."""
    try:
        chr(_BRAILLE).encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def plot(curve: Mapping[int, float], *, is_braille: bool) -> list[str]:
    """Return the lines of a plot of epoch (from 0) -> value: the values, a row of marks where needed, the epochs."""
    wide, high = (2, 4) if is_braille else (1, 1)
    first, last = min(curve), max(curve)
    width = (_COLUMNS * wide - 1) / max(last - first, 1)
    columns = {epoch: round((epoch - first) * width) for epoch in sorted(curve)}
    finite = {epoch: value for epoch, value in curve.items() if math.isfinite(value)}
    levels = _levels(finite, _ROWS * high)
    dots = {
        dot
        for part in _stretches(curve)
        for dot in _line([(columns[epoch], levels[epoch]) for epoch in part])
    }
    rows = [_row(row, dots, is_braille=is_braille) for row in range(_ROWS)] if finite else []
    labels = [""] * len(rows)
    if finite:
        ends = max(finite.values()), min(finite.values())
        labels[0], labels[-1] = (format_number(value, digits=4) for value in ends)
    marks = [(columns[epoch] // wide, _mark(value)) for epoch, value in curve.items() if epoch not in finite]
    if marks:
        rows.append(_marked(marks))
        labels.append("not finite")
    room = max(map(len, labels))
    drawn = [f"{label:>{room}} |{row}".rstrip() for label, row in zip(labels, rows, strict=True)]
    begin = f"{first + 1:,}"
    return [*drawn, f"{'':>{room}}  {begin}{f'{last + 1:,}':>{_COLUMNS - len(begin)}}"]


def _stretches(curve: Mapping[int, float]) -> list[list[int]]:
    """Return the epochs in stretches of finite values, which lines may connect."""
    stretches: list[list[int]] = [[]]
    for epoch in sorted(curve):
        if math.isfinite(curve[epoch]):
            stretches[-1].append(epoch)
        else:
            stretches.append([])
    return stretches


def _levels(finite: Mapping[int, float], count: int) -> dict[int, int]:
    """Return the level of each value, 0 the highest, below `count`."""
    values = dict(finite)
    if (
        values
        and min(values.values()) > 0
        and max(values.values()) > _LOGARITHMIC_FROM * min(values.values())
    ):
        values = {epoch: math.log10(value) for epoch, value in values.items()}
    low, high = min(values.values(), default=0.0), max(values.values(), default=0.0)
    # Halves: the distance of two numbers can be more than there are.
    span = high / 2 - low / 2
    return {
        epoch: round((count - 1) * ((high / 2 - value / 2) / span)) if span else count // 2
        for epoch, value in values.items()
    }


def _line(points: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the dots of a line through `points` (column, level)."""
    dots = list(points)
    for (x, y), (next_x, next_y) in pairwise(points):
        steps = max(abs(next_x - x), abs(next_y - y), 1)
        dots += [
            (round(x + (next_x - x) * step / steps), round(y + (next_y - y) * step / steps))
            for step in range(steps)
        ]
    return dots


def _row(row: int, dots: set[tuple[int, int]], *, is_braille: bool) -> str:
    if not is_braille:
        return "".join("*" if (column, row) in dots else " " for column in range(_COLUMNS))
    return "".join(_braille(column, row, dots) for column in range(_COLUMNS))


def _braille(column: int, row: int, dots: set[tuple[int, int]]) -> str:
    bits = sum(
        bit
        for down, pair in enumerate(_DOTS)
        for right, bit in enumerate(pair)
        if (2 * column + right, 4 * row + down) in dots
    )
    return chr(_BRAILLE + bits) if bits else " "


def _mark(value: float) -> str:
    return "N" if math.isnan(value) else "+" if value > 0 else "-"


def _marked(marks: Sequence[tuple[int, str]]) -> str:
    """Return the row of marks: N for NaN, + and - for the infinities."""
    row = [" "] * _COLUMNS
    for column, mark in marks:
        row[column] = mark
    return f"{''.join(row).rstrip()}  (N: NaN, + and -: infinite)"
