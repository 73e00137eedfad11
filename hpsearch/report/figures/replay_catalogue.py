"""Every figure of a replay by name: the original run and, if there is one, the altered run next to it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

from hpsearch.report.figures.catalogue import Exhibit, Panel
from hpsearch.report.figures.replay_lines import draw_lines
from hpsearch.report.figures.replay_moments import (
    DEPTH_PANELS,
    HEAT_MAPS,
    depth_panel,
    distribution_map,
    draw_distributions,
    shown_layers,
)
from hpsearch.report.figures.replay_tracks import layer_name, step_panel
from hpsearch.training.recording import Recording
from hpsearch.verdicts import Finding


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ReplayRun:
    """One run in the figures: `heading` identifies it if there are two; `finding` is its verdict."""

    heading: str
    recording: Recording
    finding: Finding | None


_STEP_EXHIBITS: Final = {
    "accuracy": ("Training accuracy", "Accuracy on each minibatch, before its step."),
    "loss": ("Training loss", "Mean loss of each minibatch, before its step."),
    "output-weights": ("Weights of the output layer", "Mean weight of each of its first ten units."),
    "output-biases": ("Biases of the output layer", "Bias of each of the same units."),
    "first-weights": (
        "Weights of hidden layer 1",
        "Mean weight of each watched unit. A triangle marks the last firing of a unit that fell silent.",
    ),
    "first-biases": ("Biases of hidden layer 1", "Bias of each of the same units."),
    "firing": (
        "Units that fire",
        "Share of each hidden layer's units that are positive for at least one example of the minibatch.",
    ),
    "weight-gradients": (
        "Gradients of the weights",
        "Euclidean norm for each layer, of the mean loss of the minibatch; exactly 0 is on a separate rail.",
    ),
    "bias-gradients": (
        "Gradients of the biases",
        "The same for the biases. After batch normalization they consist only of rounding errors.",
    ),
}

_DEPTH_CAPTION: Final = (
    "By layer, input side first, at four steps. Activations are those that the next layer reads."
)


def replay_exhibits(runs: Sequence[ReplayRun]) -> tuple[Exhibit, ...]:
    """Return the figures of one or two runs in their order, drawn in light colours."""
    return (
        *(_step_exhibit(name, runs) for name in _STEP_EXHIBITS),
        *(_heat_exhibit(layer, runs) for layer in _layers(runs)),
        *(_depth_exhibit(name, runs) for name in DEPTH_PANELS),
    )


def _layers(runs: Sequence[ReplayRun]) -> range:
    """Return the indices of the layers with heat maps: as many as the run with the most has."""
    return range(max(len(shown_layers(run.recording)) for run in runs))


def _step_exhibit(name: str, runs: Sequence[ReplayRun]) -> Exhibit:
    title, caption = _STEP_EXHIBITS[name]
    panels = tuple(
        Panel(
            name=f"{name}-{place}",
            label=f"{title} by step. {run.heading}".strip(),
            figure=draw_lines(data, heading=run.heading),
        )
        for place, run in enumerate(runs)
        if (data := step_panel(name, run.recording, run.finding)) is not None
    )
    absent = "This network has none." if name != "accuracy" else "Regression has none."
    return Exhibit(name=name, title=title, caption=caption if panels else absent, panels=panels)


def _heat_exhibit(place: int, runs: Sequence[ReplayRun]) -> Exhibit:
    panels = [
        panel
        for name in HEAT_MAPS
        for number, run in enumerate(runs)
        if (panel := _heat_panel(place, name, run, f"layer-{place}-{name}-{number}")) is not None
    ]
    layers = [shown_layers(run.recording) for run in runs]
    names = [
        layer_name(run.recording, own[place])
        for run, own in zip(runs, layers, strict=True)
        if place < len(own)
    ]
    caption = (
        "Share of the numbers by size and sign: the more a colour stands out from the paper, the larger the share;"
        " the middle bin is exactly 0."
    )
    return Exhibit(
        name=f"layer-{place}",
        title=f"Distributions in the {' and the '.join(dict.fromkeys(names))}",
        caption=caption if panels else "Nothing was trained.",
        panels=tuple(panels),
    )


def _heat_panel(place: int, name: str, run: ReplayRun, panel_name: str) -> Panel | None:
    """Return one map; None if the run has no such layer, or the layer has no activation."""
    layers = shown_layers(run.recording)
    if place >= len(layers):
        return None
    is_output = layers[place] == len(run.recording.network.blocks) - 1
    data = distribution_map(run.recording, layers[place], name)
    if data is None or (is_output and name == "after"):
        return None
    label = f"{layer_name(run.recording, layers[place])}, {data.title}, by step. {run.heading}".strip()
    return Panel(name=panel_name, label=label, figure=draw_distributions(data, heading=run.heading))


def _depth_exhibit(name: str, runs: Sequence[ReplayRun]) -> Exhibit:
    title = DEPTH_PANELS[name][0].capitalize()
    panels = tuple(
        Panel(
            name=f"{name}-{place}",
            label=f"{title} by layer. {run.heading}".strip(),
            figure=draw_lines(data, heading=run.heading),
        )
        for place, run in enumerate(runs)
        if (data := depth_panel(name, run.recording)) is not None
    )
    return Exhibit(
        name=name, title=title, caption=_DEPTH_CAPTION if panels else "Nothing was trained.", panels=panels
    )
