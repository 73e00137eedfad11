"""The ledger: where the epochs of a study went, and the rest of its budget."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, final

import plotly.graph_objects as go

from hpsearch.analysis.axes import Tick, count_ticks
from hpsearch.analysis.formats import format_share
from hpsearch.analysis.snapshot import Snapshot
from hpsearch.report.figures.drawing import escaped, figure, hover, plain_axis, ticked
from hpsearch.report.palette import LOOKS, PAPER, SOFT_INK
from hpsearch.study.messages import format_count
from hpsearch.trials import Fate, Trial, TrialState, ledger_key
from hpsearch.verdicts import Cause

_FATES = {
    TrialState.COMPLETE.value: Fate.COMPLETE,
    TrialState.RUNNING.value: Fate.RUNNING,
    TrialState.WAITING.value: Fate.WAITING,
    Cause.WORKER_LOST.value: Fate.LOST,
    Cause.STOPPED.value: Fate.WAITING,
}
"""The fates of entries without a trial. A trial that was handed back is waiting."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class LedgerBar:
    """One entry of the ledger. `trials` may be 0: epochs lost with an attempt that was run again."""

    cause: str
    fate: Fate
    epochs: int
    trials: int
    share: str


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class BudgetPart:
    """The number of trials with one fate; `fate` is None for the trials left in the budget."""

    fate: Fate | None
    trials: int
    share: str


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Ledger:
    """The entries, largest first; their epochs add up to `epochs`. `facts` are pairs of a name and a value.

    `saved` is the number of epochs avoided by stopping trials. `budget` is the study's budget in trials: finished,
    running and left, plus the failed trials, which do not count against it.
    """

    bars: tuple[LedgerBar, ...]
    epochs: int
    saved: int
    saved_share: str
    budget: tuple[BudgetPart, ...]
    facts: tuple[tuple[str, str], ...]


def ledger(snapshot: Snapshot) -> Ledger:
    """Return the ledger of the study's progress with the trials of every entry."""
    entries = sorted(snapshot.progress.ledger.items(), key=lambda entry: (-entry[1], entry[0]))
    total = sum(snapshot.progress.ledger.values())
    keys = [ledger_key(trial.state, trial.verdict) for trial in snapshot.trials]
    trials = Counter(keys)
    fates = dict(zip(keys, (trial.fate for trial in snapshot.trials), strict=True))
    bars = tuple(
        LedgerBar(
            cause=cause,
            fate=fates.get(cause) or _FATES.get(cause, Fate.OTHER),
            epochs=epochs,
            trials=trials[cause],
            share=format_share(epochs, total),
        )
        for cause, epochs in entries
    )
    saved = _saved(snapshot)
    return Ledger(
        bars=bars,
        epochs=total,
        saved=saved,
        saved_share=format_share(saved, saved + total),
        budget=_budget(snapshot),
        facts=_facts(snapshot, total, saved),
    )


def _budget(snapshot: Snapshot) -> tuple[BudgetPart, ...]:
    """Return the fates of at least one trial, in their order, and the number left for new trials."""
    progress = snapshot.progress
    counts: list[tuple[Fate | None, int]] = [
        (fate, tally.trials) for fate in Fate if (tally := progress.fates.get(fate)) is not None
    ]
    left = max(progress.budget - progress.finished - progress.running - progress.waiting, 0)
    whole = sum(count for _, count in counts) + left
    return tuple(
        BudgetPart(fate=fate, trials=count, share=format_share(count, whole))
        for fate, count in [*counts, (None, left)]
        if count
    )


def _facts(snapshot: Snapshot, epochs: int, saved: int) -> tuple[tuple[str, str], ...]:
    progress = snapshot.progress
    left = max(progress.budget - progress.finished, 0)
    counts = [
        ("Finished", f"{progress.finished:,} of {format_count(progress.budget, 'trial')}"),
        ("Complete", f"{progress.complete:,}"),
        ("Stopped early", f"{progress.pruned:,}"),
        ("Failed", f"{progress.failed:,}"),
        ("In training", f"{progress.running:,}"),
        ("Waiting", f"{progress.waiting:,}"),
        ("Left of the budget", format_count(left, "trial")),
        ("Epochs trained", f"{epochs:,}"),
    ]
    if not saved:
        return tuple(counts)
    words = f"{format_count(saved, 'epoch')}, {format_share(saved, saved + epochs)} of all"
    return (*counts, ("Saved by stopping early", words))


def _saved(snapshot: Snapshot) -> int:
    """Return how many epochs the stopped trials did not train."""
    stopped: Sequence[Trial] = [trial for trial in snapshot.trials if trial.state is TrialState.PRUNED]
    full = sum(_full_epochs(trial, snapshot) for trial in stopped)
    return max(full - sum(trial.epochs for trial in stopped), 0)


def _full_epochs(trial: Trial, snapshot: Snapshot) -> int:
    if (
        snapshot.study.spec.objective is not None
    ):  # as many as the longest trial: each function has its own end
        return max((one.epochs for one in snapshot.trials), default=0)
    searched = trial.params.get("training.epochs", snapshot.study.spec.training.epochs)
    return int(searched)


_BAR_PX = 42
_BUDGET_PX = 44
_TICKS = 4
_ROOM_FOR_TEXT = 1.5

LEFT = "left of the budget"
SAVED = "saved by stopping early"

_HOLLOW = {"color": PAPER, "line": {"color": SOFT_INK, "width": 1}}


def draw_ledger(data: Ledger) -> go.Figure:
    """Draw one horizontal bar for each cause, the largest at the top, with the saved epochs below them."""
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
    return figure([*_traces(data), *_saved_bars(data)], layout, plot_px=max(count, 1) * _BAR_PX)


def _few_ticks(longest: int) -> tuple[Tick, ...]:
    """Return at most four ticks: row labels leave little room on a phone."""
    ticks = count_ticks(longest)
    return ticks[:: -(-len(ticks) // _TICKS)]


def draw_budget(data: Ledger) -> go.Figure:
    """Draw the budget as one bar: the fates of its trials, and the rest as an outline."""
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


def _saved_bars(data: Ledger) -> Iterator[go.Bar]:
    """Yield the untrained epochs as the outline of a bar."""
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
    epochs, trials = format_count(bar.epochs, "epoch"), format_count(bar.trials, "trial")
    return (bar.cause, f"{epochs}, {bar.share} of all", trials)
