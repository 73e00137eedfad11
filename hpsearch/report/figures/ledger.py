"""The ledger of epochs as a figure."""

from collections.abc import Iterator
from typing import Any

import plotly.graph_objects as go

from hpsearch.records import Fate
from hpsearch.report.figure_data.axes import count_ticks
from hpsearch.report.figure_data.ledger import Ledger, LedgerBar
from hpsearch.report.figures.drawing import escaped, figure, hover, plain_axis, ticked
from hpsearch.report.formats import format_count
from hpsearch.report.palette import LOOKS, SOFT_INK

_BAR_PX = 42
_ROOM_FOR_TEXT = 1.5


def draw_ledger(data: Ledger) -> go.Figure:
    """Return one horizontal bar for each cause, the largest at the top."""
    count = len(data.bars)
    longest = max((bar.epochs for bar in data.bars), default=1)
    rows = {
        "tickvals": list(range(count)),
        "ticktext": [_row_words(bar) for bar in data.bars],
        "range": [count - 0.5, -0.5],
        "showgrid": False,
        "automargin": True,
        "fixedrange": True,
    }
    layout: dict[str, Any] = {
        "xaxis": plain_axis("epochs", range=[0, _ROOM_FOR_TEXT * longest], **ticked(count_ticks(longest))),
        "yaxis": plain_axis("", **rows),
        "barmode": "overlay",
        "bargap": 0.4,
    }
    return figure(_traces(data), layout, plot_px=max(count, 1) * _BAR_PX)


def _traces(data: Ledger) -> Iterator[go.Bar]:
    rows = list(enumerate(data.bars))
    for fate in Fate:
        own = [(row, bar) for row, bar in rows if bar.fate is fate]
        if own:
            yield go.Bar(
                orientation="h",
                x=[bar.epochs for _, bar in own],
                y=[row for row, _ in own],
                width=0.55,
                name=fate.value,
                legendgroup=fate.value,
                meta={"fate": fate.value},
                marker={"color": LOOKS[fate].colour},
                text=[f"{bar.epochs:,} · {bar.share}" for _, bar in own],
                textposition="outside",
                textfont={"color": SOFT_INK},
                cliponaxis=False,
                hoverinfo="text",
                hovertext=[hover(_hover_lines(bar)) for _, bar in own],
            )


def _row_words(bar: LedgerBar) -> str:
    count = format_count(bar.trials, "trial") if bar.trials else "run again"
    return f"{escaped(bar.cause)}<br>{count}"


def _hover_lines(bar: LedgerBar) -> tuple[str, ...]:
    return (bar.cause, f"{format_count(bar.epochs, 'epoch')}, {bar.share} of all", f"{bar.trials:,} trials")
