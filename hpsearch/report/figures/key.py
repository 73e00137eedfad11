"""The key of a figure: the names of its lines above the plot, each in its colour, for paper as well."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, final

from hpsearch.report.figures.drawing import escaped, words_above

_WIDTH_PX: Final = 280
"""Room of the names in a row, which a phone has too."""
_ROW_PX: Final = 17
_LETTER_PX: Final = 6.2


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class KeyEntry:
    """One line of a figure: its name, its colour, and the sign that stands for it (as HTML)."""

    name: str
    colour: str
    sign: str = "&#9632;"


def key_height_px(entries: Sequence[KeyEntry]) -> int:
    """Return how much room above the plot the key takes."""
    return _ROW_PX * len(_rows(entries))


def key_words(entries: Sequence[KeyEntry], *, shift_px: int = 0) -> list[dict[str, Any]]:
    """Return the key as annotations, `shift_px` above the plot, the first entries in the highest row."""
    return [
        words_above(
            f"{entry.sign} {escaped(entry.name)}",
            xshift=at,
            yshift=shift_px + 2 + _ROW_PX * row,
            font={"size": 11, "color": entry.colour},
        )
        for row, placed in enumerate(reversed(_rows(entries)))
        for at, entry in placed
    ]


def _rows(entries: Sequence[KeyEntry]) -> list[list[tuple[float, KeyEntry]]]:
    """Return the entries in rows from above, each with its place in pixels from the left."""
    rows: list[list[tuple[float, KeyEntry]]] = []
    at = 0.0
    for entry in entries:
        width = _LETTER_PX * (len(entry.name) + 4)
        if not rows or at + width > _WIDTH_PX:
            rows.append([])
            at = 0.0
        rows[-1].append((at, entry))
        at += width
    return rows
