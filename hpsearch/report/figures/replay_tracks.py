"""A recording step by step: minibatches, watched units, gradients and firing, as panels of lines."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, TypeAlias

from hpsearch.analysis.replay import deaths
from hpsearch.analysis.trial_facts import OUTSIDE
from hpsearch.report.figures.replay_lines import (
    Line,
    LineAxis,
    LineEvent,
    LinePanel,
    LinePoint,
    LineScaleKind,
    panel,
    track_points,
)
from hpsearch.training.recording import Recording, UnitTracks
from hpsearch.training.tracks import Track
from hpsearch.verdicts import Cause, Finding

PanelOf: TypeAlias = Callable[[Recording], LinePanel | None]


def step_panel(name: str, recording: Recording, finding: Finding | None) -> LinePanel | None:
    """Return the panel of that name with its events marked; None if the network has no data for it."""
    made = STEP_PANELS[name](recording)
    return None if made is None else replace(made, events=events(recording, finding))


def events(recording: Recording, finding: Finding | None) -> tuple[LineEvent, ...]:
    """Return the step at which the verdict began, and the first with a number that was not finite."""
    found = []
    if finding is not None and finding.cause not in (*OUTSIDE, Cause.INCONCLUSIVE):
        found.append(LineEvent(x=finding.first_step, text=finding.cause.value))
    if recording.nonfinite is not None:
        found.append(LineEvent(x=recording.nonfinite.step, text="not finite"))
    return tuple(found)


def layer_name(recording: Recording, layer: int) -> str:
    """Return the name of a dense layer, counted from 0: `hidden layer 1`, `output layer`."""
    return "output layer" if layer == len(recording.network.blocks) - 1 else f"hidden layer {layer + 1}"


def _panel(
    title: str, lines: list[Line], recording: Recording, kind: LineScaleKind | None = None
) -> LinePanel:
    return panel(title, lines, LineAxis(title="step", low=0, high=max(recording.steps - 1, 1)), kind)


def _accuracy(recording: Recording) -> LinePanel | None:
    if recording.subject.data.task == "regression":
        return None
    line = Line(name="accuracy", points=track_points(recording.accuracy, 0))
    return _panel("training accuracy", [line], recording)


def _loss(recording: Recording) -> LinePanel:
    line = Line(name="loss", points=track_points(recording.loss, 0))
    values = [point.value for point in line.points]
    kind: LineScaleKind | None = "log" if all(not value <= 0 for value in values) else None
    return _panel("training loss", [line], recording, kind)


def _unit_lines(tracks: UnitTracks, track: Track, noun: str, ends: Mapping[int, int]) -> list[Line]:
    lines = []
    for column, unit in enumerate(tracks.units):
        points = track_points(track, column)
        marked = _at(points, ends[unit]) if unit in ends else None
        words = (
            "never fired" if unit in ends and ends[unit] < 0 else f"last fired at step {ends.get(unit, 0):,}"
        )
        lines.append(
            Line(name=f"{noun} {unit}", points=points, marked=marked, mark="" if marked is None else words)
        )
    return lines


def _at(points: tuple[LinePoint, ...], step: int) -> LinePoint | None:
    """Return the point that shows that step, moved to it."""
    before = [point for point in points if point.x <= max(step, 0)]
    return replace(before[-1], x=max(step, 0)) if before else None


def _output_weights(recording: Recording) -> LinePanel:
    tracks = recording.output
    return _panel("mean weight", _unit_lines(tracks, tracks.weights, "output", {}), recording)


def _output_biases(recording: Recording) -> LinePanel:
    tracks = recording.output
    return _panel("bias", _unit_lines(tracks, tracks.biases, "output", {}), recording)


def _first_weights(recording: Recording) -> LinePanel | None:
    tracks = recording.first
    if tracks is None:
        return None
    return _panel("mean weight", _unit_lines(tracks, tracks.weights, "unit", deaths(recording, 0)), recording)


def _first_biases(recording: Recording) -> LinePanel | None:
    tracks = recording.first
    if tracks is None:
        return None
    return _panel("bias", _unit_lines(tracks, tracks.biases, "unit", deaths(recording, 0)), recording)


def _layer_lines(recording: Recording, track: Track, count: int) -> list[Line]:
    return [
        Line(name=layer_name(recording, layer), points=track_points(track, layer)) for layer in range(count)
    ]


def _weight_gradients(recording: Recording) -> LinePanel:
    lines = _layer_lines(recording, recording.weight_gradients, len(recording.network.blocks))
    return _panel("norm of the weights' gradient", lines, recording, "log")


def _bias_gradients(recording: Recording) -> LinePanel:
    lines = _layer_lines(recording, recording.bias_gradients, len(recording.network.blocks))
    return _panel("norm of the biases' gradient", lines, recording, "log")


def _firing(recording: Recording) -> LinePanel | None:
    hidden = len(recording.network.blocks) - 1
    if not hidden:
        return None
    return _panel("share of units that fire", _layer_lines(recording, recording.firing, hidden), recording)


STEP_PANELS: Final[Mapping[str, PanelOf]] = {
    "accuracy": _accuracy,
    "loss": _loss,
    "output-weights": _output_weights,
    "output-biases": _output_biases,
    "first-weights": _first_weights,
    "first-biases": _first_biases,
    "firing": _firing,
    "weight-gradients": _weight_gradients,
    "bias-gradients": _bias_gradients,
}
"""The quantities drawn against steps, by name."""
