"""The ledger of epochs as a figure."""

from collections.abc import Iterator
from typing import Any

import plotly.graph_objects as go

from hpsearch.report.figure_data.axes import Tick, count_ticks
from hpsearch.report.figure_data.ledger import Ledger, LedgerBar
from hpsearch.report.figures.drawing import escaped, figure, hover, plain_axis, ticked
from hpsearch.report.formats import format_count
from hpsearch.report.palette import LOOKS, PAPER, SOFT_INK
from hpsearch.trials import Fate

_BAR_PX = 42
_BUDGET_PX = 44
_TICKS = 4
_ROOM_FOR_TEXT = 1.5

LEFT = "left of the budget"
SAVED = "saved by stopping early"

_HOLLOW = {"color": PAPER, "line": {"color": SOFT_INK, "width": 1}}


def draw_ledger(data: Ledger) -> go.Figure:
    """Return one horizontal bar for each cause, the largest at the top, and below them what was saved."""
    labels = [_row_words(bar) for bar in data.bars] + ["saved by<br>stopping early"] * bool(data.saved)
    count = len(labels)
    longest = max((*(bar.epochs for bar in data.bars), data.saved, 1))
    rows = {
        "tickvals": list(range(count)),
        "ticktext": labels,
        "range": [count - 0.5, -0.5],
        "showgrid": False,
        "automargin": True,
        "fixedrange": True,
    }
    layout: dict[str, Any] = {
        "xaxis": plain_axis("epochs", range=[0, _ROOM_FOR_TEXT * longest], **ticked(_few_ticks(longest))),
        "yaxis": plain_axis("", **rows),
        "barmode": "overlay",
        "bargap": 0.4,
    }
    return figure([*_traces(data), *_saved(data)], layout, plot_px=max(count, 1) * _BAR_PX)


def _few_ticks(longest: int) -> tuple[Tick, ...]:
    """Return at most four ticks: the labels of rows leave little room on a phone."""
    ticks = count_ticks(longest)
    return ticks[:: -(-len(ticks) // _TICKS)]


def draw_budget(data: Ledger) -> go.Figure:
    """Return the budget as one bar: the fates of its trials, and what is left as an outline."""
    whole = sum(part.trials for part in data.budget)
    layout: dict[str, Any] = {
        "xaxis": plain_axis("trials", range=[0, whole], **ticked(count_ticks(whole))),
        "yaxis": plain_axis("", range=[-0.5, 0.5], visible=False, fixedrange=True),
        "barmode": "stack",
    }
    return figure(_parts(data), layout, plot_px=_BUDGET_PX)


def _parts(data: Ledger) -> Iterator[go.Bar]:
    for part in data.budget:
        words = f"{part.fate or LEFT}: {format_count(part.trials, 'trial')}, {part.share}"
        yield go.Bar(
            orientation="h",
            x=[part.trials],
            y=[0],
            width=0.9,
            name=(part.fate or LEFT),
            meta={} if part.fate is None else {"fate": part.fate.value},
            marker=_HOLLOW if part.fate is None else {"color": LOOKS[part.fate].colour},
            hoverinfo="text",
            hovertext=[hover((words,))],
            textposition="none",
        )


def _saved(data: Ledger) -> Iterator[go.Bar]:
    """Return the epochs that nobody trained as the outline of a bar."""
    if data.saved:
        yield go.Bar(
            orientation="h",
            x=[data.saved],
            y=[len(data.bars)],
            width=0.55,
            name=SAVED,
            marker=_HOLLOW,
            text=[f"{data.saved:,} · {data.saved_share}"],
            textposition="outside",
            textfont={"color": SOFT_INK},
            cliponaxis=False,
            hoverinfo="text",
            hovertext=[
                hover(
                    (
                        f"{format_count(data.saved, 'epoch')} that stopped trials did not train",
                        f"{data.saved_share} of what all trials would have taken to their ends",
                    )
                )
            ],
        )


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
