"""Every figure of the report by name, with the sentence that replaces it if there is nothing to draw."""

from dataclasses import dataclass
from typing import Final, final

import plotly.graph_objects as go

from hpsearch.analysis.importance import importance
from hpsearch.analysis.snapshot import Snapshot
from hpsearch.report.figures.best_curves import best_curves, draw_best_curve
from hpsearch.report.figures.best_so_far import Against, best_so_far, draw_best_so_far
from hpsearch.report.figures.comparison import comparison, draw_comparison
from hpsearch.report.figures.importance import draw_importance
from hpsearch.report.figures.learning_curves import CurvePanel, draw_learning_curves, learning_curves
from hpsearch.report.figures.ledger import draw_budget, draw_ledger, ledger
from hpsearch.report.figures.network_health import draw_health_panel, draw_heat_map, network_health
from hpsearch.report.figures.result_strip import (
    ResultStrip,
    draw_result_strip,
    learning_rate_strip,
    result_strip,
)
from hpsearch.report.figures.search_map import draw_search_map, search_map
from hpsearch.report.figures.studies import draw_studies, studies_compared
from hpsearch.report.figures.workers import draw_workers, workers
from hpsearch.report.request import ReportRequest


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """One drawing. `label` describes it in words for users who cannot see it."""

    name: str
    label: str
    figure: go.Figure


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Exhibit:
    """One figure of the report: its drawings side by side, or none and a caption with the reason.

    `is_small` marks many small drawings; `is_stacked` drawings are stacked vertically at every width.
    """

    name: str
    title: str
    caption: str
    panels: tuple[Panel, ...] = ()
    is_small: bool = False
    is_stacked: bool = False

    @property
    def arrangement(self) -> str:
        """The arrangement of the drawings, as a class of the page's style sheet."""
        return "small" if self.is_small else "plots-1" if self.is_stacked else f"plots-{len(self.panels)}"


_NOTHING_ASKED: Final = ReportRequest()


def exhibits(snapshot: Snapshot, request: ReportRequest = _NOTHING_ASKED) -> tuple[Exhibit, ...]:
    """Return the report's figures in order, drawn in light colours.

    For a study of another Optuna client, return the figures for which its data suffices.
    """
    if snapshot.study.foreign is not None:
        return (
            _map_exhibit(snapshot),
            _curves_exhibit(snapshot),
            _best_exhibit(snapshot),
            _importance_exhibit(snapshot),
        )
    return (
        _map_exhibit(snapshot),
        _rates_exhibit(snapshot),
        _curves_exhibit(snapshot),
        _best_curves_exhibit(snapshot),
        _health_exhibit(snapshot),
        _workers_exhibit(snapshot),
        _best_exhibit(snapshot),
        _ledger_exhibit(snapshot),
        _importance_exhibit(snapshot),
        _comparison_exhibit(snapshot, request),
        _studies_exhibit(snapshot, request),
    )


def _map_exhibit(snapshot: Snapshot) -> Exhibit:
    name, title = "search-map", "Search map"
    search = snapshot.study.spec.search
    if not search:
        return Exhibit(name=name, title=title, caption="This study searches nothing, so it has no map.")
    data = search_map(snapshot)
    if data is None:
        strip = result_strip(snapshot, search[0])
        caption = f"This study searches only {search[0].name}. {strip.caption}"
        return _strip_exhibit(name, title, strip, caption=caption)
    if not data.marks:
        return Exhibit(name=name, title=title, caption="No trial has parameters yet.")
    key = (
        " Fill is the result, symbol and edge are the fate; hollow symbols have no finite result."
        " The star is the best trial."
    )
    label = f"Every trial by {data.x.title} and {data.y.title}."
    panel = Panel(name=name, label=label, figure=draw_search_map(data))
    return Exhibit(name=name, title=title, caption=f"{data.caption}{key} {data.stability}", panels=(panel,))


def _rates_exhibit(snapshot: Snapshot) -> Exhibit:
    name, title = "learning-rates", "Which learning rates die"
    data = learning_rate_strip(snapshot)
    if data is None:
        return Exhibit(name=name, title=title, caption="This study does not search the learning rate.")
    if len(snapshot.study.spec.search) == 1:
        return Exhibit(
            name=name, title=title, caption="The search map shows it, because nothing else is searched."
        )
    return _strip_exhibit(name, title, data, caption=data.caption)


def _strip_exhibit(name: str, title: str, data: ResultStrip, *, caption: str) -> Exhibit:
    if not data.marks:
        return Exhibit(name=name, title=title, caption="No trial has a result yet.")
    label = f"Results against {data.x.title}, above the fates along it."
    panel = Panel(name=name, label=label, figure=draw_result_strip(data))
    return Exhibit(name=name, title=title, caption=caption, panels=(panel,))


def _curves_exhibit(snapshot: Snapshot) -> Exhibit:
    name, title = "learning-curves", "Learning curves"
    data = learning_curves(snapshot)
    if data is None:
        what = "finished an epoch yet" if snapshot.study.foreign is None else "reported a value while it ran"
        return Exhibit(name=name, title=title, caption=f"No trial has {what}.")
    panels = [
        _curve_panel(f"{name}-{part}", panel)
        for part, panel in (("training", data.training), ("metric", data.metric))
        if panel.curves
    ]
    key = " A symbol marks where a run ended; hover over it for the reason."
    return Exhibit(name=name, title=title, caption=data.caption + key, panels=tuple(panels))


def _curve_panel(name: str, data: CurvePanel) -> Panel:
    return Panel(name=name, label=f"{data.scale.title} by {data.unit}.", figure=draw_learning_curves(data))


def _best_curves_exhibit(snapshot: Snapshot) -> Exhibit:
    name, title = "best-curves", "The best, one by one"
    data = best_curves(snapshot)
    if data is None:
        return Exhibit(name=name, title=title, caption="No trial with recorded losses is complete yet.")
    panels = tuple(
        Panel(
            name=f"{name}-{rank}",
            label=f"Losses of {trial.title} by epoch.",
            figure=draw_best_curve(trial, data),
        )
        for rank, trial in enumerate(data.trials, start=1)
    )
    return Exhibit(name=name, title=title, caption=data.caption, panels=panels, is_small=True)


def _health_exhibit(snapshot: Snapshot) -> Exhibit:
    name, title = "network-health", "Network health"
    data = network_health(snapshot)
    if data is None:
        return Exhibit(
            name=name, title=title, caption="No trial has ended with statistics of its network yet."
        )
    panels = [
        Panel(
            name=f"{name}-{panel.name}",
            label=f"{panel.scale.title} against {panel.x.title}.",
            figure=draw_health_panel(panel),
        )
        for panel in data.panels
    ]
    panels += [
        Panel(
            name=f"{name}-{heat.name}-epochs",
            label=f"{heat.title}, trial by epoch.",
            figure=draw_heat_map(heat),
        )
        for heat in data.maps
    ]
    return Exhibit(name=name, title=title, caption=data.caption, panels=tuple(panels))


def _workers_exhibit(snapshot: Snapshot) -> Exhibit:
    name, title = "workers", "Workers"
    data = workers(snapshot)
    if data is None:
        return Exhibit(name=name, title=title, caption="No worker has trained a trial yet.")
    panel = Panel(name=name, label="Workers as lanes over time.", figure=draw_workers(data))
    return Exhibit(name=name, title=title, caption=data.caption, panels=(panel,))


def _best_exhibit(snapshot: Snapshot) -> Exhibit:
    name, title = "best-so-far", "Best so far"
    data = best_so_far(snapshot)
    if data is None:
        return Exhibit(name=name, title=title, caption="No trial has ended yet.")
    ways: tuple[Against, ...] = ("trials", "epochs", "time")
    if snapshot.study.foreign is not None:
        ways = ("trials", "time")
    panels = tuple(
        Panel(
            name=f"{name}-{against}",
            label=f"The best result against {against}.",
            figure=draw_best_so_far(data, against),
        )
        for against in ways
    )
    return Exhibit(name=name, title=title, caption=data.caption, panels=panels)


def _ledger_exhibit(snapshot: Snapshot) -> Exhibit:
    name, title = "ledger", "Where the epochs went"
    data = ledger(snapshot)
    if not data.bars:
        return Exhibit(name=name, title=title, caption="No epoch has been trained yet.")
    panels = (
        Panel(name=name, label="Epochs by verdict.", figure=draw_ledger(data)),
        Panel(name=f"{name}-budget", label="The budget's trials by fate.", figure=draw_budget(data)),
    )
    caption = (
        f"All {data.epochs:,} epochs by the verdict or state of their trials; below, the budget of"
        f" {snapshot.progress.budget:,} trials by fate. Outlined bars are saved epochs and unused trials."
    )
    return Exhibit(name=name, title=title, caption=caption, panels=panels, is_stacked=True)


def _importance_exhibit(snapshot: Snapshot) -> Exhibit:
    name, title = "importance", "Which parameters matter"
    data = importance(snapshot)
    panels = [
        Panel(
            name=f"{name}-{panel.title.split()[0]}",
            label=f"The importance of each parameter, of {panel.title}.",
            figure=draw_importance(panel),
        )
        for panel in data.panels
    ]
    return Exhibit(name=name, title=title, caption=data.caption, panels=tuple(panels))


def _comparison_exhibit(snapshot: Snapshot, request: ReportRequest) -> Exhibit:
    name, title = "comparison", "Trials compared"
    data = comparison(snapshot, request)
    if data is None:
        return Exhibit(name=name, title=title, caption="There are not yet two trials to compare.")
    panels = [
        Panel(
            name=f"{name}-{panel.name}",
            label=f"{panel.scale.title} of {len(data.chosen)} trials by epoch.",
            figure=draw_comparison(panel),
        )
        for panel in data.panels
    ]
    return Exhibit(name=name, title=title, caption=data.caption, panels=tuple(panels))


def _studies_exhibit(snapshot: Snapshot, request: ReportRequest) -> Exhibit:
    name, title = "studies", "Studies compared"
    if not request.others:
        caption = "No other study was named: add one with `hpsearch report NAME --compare OTHER`."
        return Exhibit(name=name, title=title, caption=caption)
    data = studies_compared(snapshot, request.others)
    if not data.lines:
        return Exhibit(name=name, title=title, caption=data.caption)
    panel = Panel(name=name, label="The best result of each study against epochs.", figure=draw_studies(data))
    return Exhibit(name=name, title=title, caption=data.caption, panels=(panel,))
