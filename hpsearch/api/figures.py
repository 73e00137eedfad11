"""One figure out of several by its name."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hpsearch.errors import HpsearchError, UsageError
from hpsearch.report.figures.catalogue import Exhibit
from hpsearch.study.messages import nearest

if TYPE_CHECKING:
    import plotly.graph_objects as go


def names_of(exhibits: Sequence[Exhibit]) -> tuple[str, ...]:
    """Return the names of the figures that can be drawn: an exhibit of several drawings has a name for each."""
    return tuple(name for exhibit in exhibits for name in _drawings(exhibit))


def figure_named(exhibits: Sequence[Exhibit], name: str) -> "go.Figure":
    """Return the figure of that name, or the first drawing of the exhibit of that name.

    Raises UsageError for an unknown name, and HpsearchError if there is nothing to draw.
    """
    drawings = {found: figure for exhibit in exhibits for found, figure in _drawings(exhibit).items()}
    if name in drawings:
        return drawings[name]
    captions = {exhibit.name: exhibit.caption for exhibit in exhibits if not exhibit.panels}
    if name in captions:
        raise HpsearchError(f'figure "{name}": there is nothing to draw: {captions[name]}')
    several = [exhibit for exhibit in exhibits if exhibit.name == name]
    if several:
        return several[0].panels[0].figure
    guess = nearest(name, [*drawings, *captions])
    hint = f'; did you mean "{guess}"?' if guess else ""
    raise UsageError(f'figure: must be one of {", ".join([*drawings, *captions])} (got "{name}"){hint}')


def _drawings(exhibit: Exhibit) -> dict[str, "go.Figure"]:
    if len(exhibit.panels) == 1:
        return {exhibit.name: exhibit.panels[0].figure}
    return {panel.name: panel.figure for panel in exhibit.panels}
