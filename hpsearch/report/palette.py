"""Colours and symbols, defined once for figures, tables and the filter.

Hues are those of Okabe and Ito (2008, "Color Universal Design"), with adjusted lightness so that any two fates differ
for people with protanopia, deuteranopia and tritanopia, on white and on dark paper. Figures are drawn in the light
colours; `DARK` maps each of them to its dark one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from hpsearch.trials import Fate

INK = "#1c2126"
SOFT_INK = "#5b6570"
GRID = "#e6e9ed"
RAIL = "#f3f5f7"
PAPER = "#ffffff"
STAR = "#ffcf33"

RESULT_COLOURS = ("#addc30", "#5ec962", "#28ae80", "#21918c", "#2c728e", "#3b528b", "#440154")
"""From the worst result to the best: viridis without its palest end, which is invisible on white."""

RAIL_COLOURS = ("#b2b2b2", "#c24a00", "#1a1a1a")
"""Values without a place among the colours of a heat map: far above, infinite, NaN."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class FateLook:
    """The drawing of one fate: Plotly's symbol filled and hollow, the colour, and the symbol as an SVG path.

    The path is in a square from -8 to 8. `is_line` is true for symbols that have no area to fill.
    """

    symbol: str
    hollow: str
    colour: str
    path: str
    is_line: bool = False


LOOKS: Mapping[Fate, FateLook] = {
    Fate.COMPLETE: FateLook(
        symbol="circle", hollow="circle-open", colour="#0072b2", path="M6,0A6,6 0 1,1 -6,0A6,6 0 1,1 6,0Z"
    ),
    Fate.EARLY_STOPPED: FateLook(
        symbol="pentagon",
        hollow="pentagon-open",
        colour="#9600ff",
        path="M0,-6.5L6.2,-2L3.8,5.3H-3.8L-6.2,-2Z",
    ),
    Fate.OUTRANKED: FateLook(
        symbol="square", hollow="square-open", colour="#56b4e9", path="M-5.5,-5.5H5.5V5.5H-5.5Z"
    ),
    Fate.DIVERGED: FateLook(
        symbol="x",
        hollow="x-open",
        colour="#c24a00",
        path="M0,-2.6L3.4,-6L6,-3.4L2.6,0L6,3.4L3.4,6L0,2.6L-3.4,6L-6,3.4L-2.6,0L-6,-3.4L-3.4,-6Z",
    ),
    Fate.DYING: FateLook(
        symbol="triangle-down", hollow="triangle-down-open", colour="#b5659a", path="M-6.5,-4.5H6.5L0,6.5Z"
    ),
    Fate.TOO_SLOW: FateLook(
        symbol="triangle-left", hollow="triangle-left-open", colour="#e69f00", path="M4.5,-6.5V6.5L-6.5,0Z"
    ),
    Fate.OTHER: FateLook(
        symbol="diamond", hollow="diamond-open", colour="#009e60", path="M0,-7L7,0L0,7L-7,0Z"
    ),
    Fate.CRASHED: FateLook(
        symbol="cross",
        hollow="cross-open",
        colour="#1a1a1a",
        path="M-2,-6.5H2V-2H6.5V2H2V6.5H-2V2H-6.5V-2H-2Z",
    ),
    Fate.LOST: FateLook(
        symbol="asterisk-open",
        hollow="asterisk-open",
        colour="#585858",
        path="M0,-7V7M-7,0H7M-5,-5L5,5M-5,5L5,-5",
        is_line=True,
    ),
    Fate.RUNNING: FateLook(
        symbol="triangle-right", hollow="triangle-right-open", colour="#4a3b00", path="M-4.5,-6.5V6.5L6.5,0Z"
    ),
    Fate.WAITING: FateLook(
        symbol="hexagon",
        hollow="hexagon-open",
        colour="#b2b2b2",
        path="M0,-6.5L5.6,-3.2V3.2L0,6.5L-5.6,3.2V-3.2Z",
    ),
}

LINE_COLOURS = (
    *(LOOKS[fate].colour for fate in (Fate.COMPLETE, Fate.DIVERGED, Fate.OTHER, Fate.DYING, Fate.TOO_SLOW)),
    *(LOOKS[fate].colour for fate in (Fate.OUTRANKED, Fate.CRASHED)),
    "#6a3d9a",
    "#8a5a2b",
    "#a8003c",
)
"""Ten lines of one figure, such as ten units of a layer, each with its own colour."""

DARK: Mapping[str, str] = {
    INK: "#e8ecf0",
    SOFT_INK: "#9aa5b1",
    GRID: "#2a3038",
    RAIL: "#1f242a",
    PAPER: "#15181c",
    "#0072b2": "#56b4e9",
    "#9600ff": "#a51eff",
    "#56b4e9": "#2f66a8",
    "#c24a00": "#e8631a",
    "#b5659a": "#e8a3c9",
    "#e69f00": "#f5a800",
    "#009e60": "#0f9a60",
    "#1a1a1a": "#f5f5f5",
    "#585858": "#8a8a8a",
    "#4a3b00": "#f0e070",
    "#b2b2b2": "#5a5a5a",
    "#6a3d9a": "#b48cf2",
    "#8a5a2b": "#c9a070",
    "#a8003c": "#ff6b8b",
    # Results, from the worst to the best: bright is good on dark paper.
    **dict(
        zip(
            RESULT_COLOURS,
            ("#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30", "#fde725"),
            strict=True,
        )
    ),
}
"""Each colour of a figure on dark paper. Colours that are not listed are the same on both."""


def variable(fate: Fate) -> str:
    """Return the name of the CSS variable that holds the colour of a fate."""
    return f"--fate-{fate.value.replace(' ', '-')}"
