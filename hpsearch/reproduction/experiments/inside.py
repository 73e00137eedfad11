"""Measures of single runs and recordings: numbers in, numbers out."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hpsearch.analysis.replay import deaths
from hpsearch.nn.arrays import Array
from hpsearch.reproduction.laboratory import Trained, biases_of, held_back
from hpsearch.reproduction.runs import Run
from hpsearch.training.recording import Recording

MEASURES: Final[Mapping[str, Callable[[Run], float]]] = {
    "accuracy": lambda run: run.last_accuracy,
    "loss": lambda run: run.last_loss,
    "silent": lambda run: run.last_silent,
    "NaN": lambda run: float(run.nan_step is not None),
    "NaN step": lambda run: float("nan") if run.nan_step is None else float(run.nan_step),
    "bias": lambda run: float(np.abs(biases_of(run)[0]).max()),
}
"""Measures of every run, by name: of its last minibatches, its losses, and its first layer's largest bias."""


def values_of(trained: Trained, *, sees_held_back: bool = True) -> dict[str, list[float]]:
    """Return every measure of every configuration, as `NAME: MEASURE`, one number per seed.

    On the held-back examples: the share of units of the first layer that are positive for none of them, `dead`, and the
    `held-back accuracy`.
    """
    found: dict[str, list[float]] = {}
    for name, runs in trained.runs.items():
        for measure, function in MEASURES.items():
            found[f"{name}: {measure}"] = [function(run) for run in runs]
        if sees_held_back:
            evaluations = [held_back(run, trained.data) for run in runs]
            found[f"{name}: dead"] = [one.never_positive[0] for one in evaluations]
            found[f"{name}: held-back accuracy"] = [one.accuracy or 0.0 for one in evaluations]
    return found


def unfrozen_share(recording: Recording) -> float:
    """Return the share of parameters into the dead units of layer 1 that changed after a unit's last firing.

    Compared bit for bit, from the next snapshot to the end; NaN if no unit died before a snapshot.
    """
    changed, counted = 0, 0
    columns, bias = _first_layer(recording, recording.final.parameters)
    for unit, step in deaths(recording, 0).items():
        later = next((one for one in recording.snapshots if one.steps > step), None)
        if later is None:
            continue
        weights_then, bias_then = _first_layer(recording, later.parameters)
        changed += int((weights_then[:, unit] != columns[:, unit]).sum()) + int(bias_then[unit] != bias[unit])
        counted += len(columns) + 1
    return changed / counted if counted else float("nan")


def negative_share(recording: Recording) -> float:
    """Return the share, among layer 1's units that fired and then died, whose bias or mean weight decreased.

    Return NaN if no unit died.
    """
    dead = [unit for unit, step in deaths(recording, 0).items() if step >= 0]
    if not dead:
        return float("nan")
    weights, bias = _first_layer(recording, recording.final.parameters)
    begun, _ = _first_layer(recording, recording.snapshots[0].parameters)
    fell = (bias < 0) | (weights.mean(axis=0) < begun.mean(axis=0))
    return float(fell[dead].mean())


def _first_layer(recording: Recording, parameters: Array) -> tuple[Array, Array]:
    view = recording.network.views(parameters[None])[0]
    return view.w[0], view.b[0]


def flip_share(recording: Recording) -> float:
    """Return how often the mean weights of layer 2 change their sign on steps on which they grow.

    A step grows a number if it increases its magnitude; steps are counted until numbers are not finite.
    """
    tracks = recording.output.weights.low
    end = len(tracks) if recording.nonfinite is None else recording.nonfinite.step
    return flips(tracks[:end])


def flips(tracks: Array) -> float:
    """Return the share of the growing steps of `tracks` (S, N) on which the sign changes; NaN without such steps."""
    before, after = tracks[:-1], tracks[1:]
    grows = np.abs(after) > np.abs(before)
    flips = np.sign(after) * np.sign(before) < 0
    return float(flips[grows].mean()) if grows.any() else float("nan")


def lead_steps(biases: Array, *, times: float = 10.0) -> float:
    """Return by how many steps the first of several biases (S, N) leads their median into divergence.

    A unit diverges if its bias is larger than `times` the largest bias of the first tenth of the steps. Return NaN if
    fewer than half of the units do.
    """
    calm = np.nanmax(np.abs(biases[: max(1, len(biases) // 10)]))
    reached = np.abs(biases) > times * calm
    firsts: NDArray[np.float64] = np.where(reached.any(axis=0), reached.argmax(axis=0), np.inf)
    middle = float(np.median(firsts))
    return middle - float(firsts.min()) if np.isfinite(middle) else float("nan")


def smallest(values: Mapping[str, Sequence[float]], names: Sequence[str]) -> list[float]:
    """Return for each seed the smallest of the measures `names`."""
    return [float(np.min(of_seed)) for of_seed in zip(*(values[name] for name in names), strict=True)]


def largest(values: Mapping[str, Sequence[float]], names: Sequence[str]) -> list[float]:
    """Return for each seed the largest of the measures `names`."""
    return [float(np.max(of_seed)) for of_seed in zip(*(values[name] for name in names), strict=True)]
