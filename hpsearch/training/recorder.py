"""The recorder of a trial's inside at every step, as the observer of a cohort that trains it alone."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from hpsearch.nn.arrays import Array
from hpsearch.nn.network import BlockBuffers, BlockParameters, Network
from hpsearch.training.distributions import Distribution, distribution_of
from hpsearch.training.measurements import SMALLEST_SCALE, layer_norms
from hpsearch.training.tracks import Tape, Track
from hpsearch.training.workspace import Lane


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class FirstNonFinite:
    """The first non-finite number anywhere in a trial: the step, the kind of array, and its layer, counted from 0.

    Arrays are searched in the order of the computation: `weights` and `biases` (written by the previous step),
    `activations` of hidden layers, `logits`, `loss`, `gradients`. `layer` is None for the loss.
    """

    step: int
    array: str
    layer: int | None


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class LayerMoment:
    """One dense layer at one step.

    `before` is its activation's input, after normalization, gamma and beta, and `after` the next layer's input, with
    dropout and a skip's inputs; both are the logits in the output layer. `gradient` is of its weight matrix, for the
    mean data loss.
    """

    before: Distribution
    after: Distribution
    gradient: Distribution


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """All dense layers at one step, input side first."""

    step: int
    layers: tuple[LayerMoment, ...]


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class NetworkSnapshot:
    """A trial's parameters (P,) and running statistics (S,) after `steps` steps, as copies."""

    steps: int
    parameters: Array
    running: Array


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class UnitTracks:
    """Watched units of one layer: N indices `units`, and the tracks of their mean weights and their biases.

    Both are the values at a step's forward pass, before its update.
    """

    units: tuple[int, ...]
    weights: Track
    biases: Track


@final
class Recorder:
    """The observer of a cohort's only row. It changes nothing, so the row's numbers are the same without it."""

    def __init__(
        self,
        network: Network,
        *,
        classifies: bool,
        watched: dict[int, tuple[int, ...]],
        moments: frozenset[int],
        snapshots: frozenset[int],
    ) -> None:
        """Watch those units of each layer (`watched`), and keep moments and snapshots of those steps."""
        self._network = network
        self._classifies = classifies
        self.watched = watched
        self._moments_at, self._snapshots_at = moments, snapshots
        self._layers = len(network.blocks)
        widths = [2, *(2 * len(units) for units in watched.values()), *(self._layers,) * 2, self._layers - 1]
        self._stops = list(itertools.accumulate(widths))
        self._tape = Tape(columns=self._stops[-1])
        self.last_fired = tuple(np.full(block.dense.outputs, -1, np.int64) for block in network.blocks[:-1])
        self._row = np.empty(self._stops[-1])
        self._passed: list[tuple[Distribution, Distribution]] = []
        self.moments: list[Moment] = []
        self.snapshots: list[NetworkSnapshot] = []
        self.nonfinite: FirstNonFinite | None = None

    @property
    def steps(self) -> int:
        """The number of watched steps."""
        return self._tape.steps

    def tracks(self) -> list[Track]:
        """Return the tracks, N numbers each: loss and accuracy; watched units; gradients of w, of b; shares that fire.

        Watched units have a track for each watched layer, mean weights before biases.
        """
        track = self._tape.track()
        starts = [0, *self._stops]
        return [track.columns(start, stop) for start, stop in zip(starts, self._stops, strict=False)]

    def after_forward(self, lane: Lane) -> None:
        """Record the units that fire, the accuracy, the watched parameters, and arrays with non-finite numbers."""
        fired = [buffers.y[0].max(axis=0) > 0 for buffers in lane.batch.blocks[:-1]]
        for last, fires in zip(self.last_fired, fired, strict=True):
            last[fires] = self.steps
        self._row[1] = _accuracy(lane.batch.logits[0], lane.batch.t[0]) if self._classifies else np.nan
        self._note_watched(lane.parameter_views)
        self._row[self._stops[-2] :] = [fires.mean() for fires in fired]
        self._note_nonfinite(self._of_forward(lane))
        if self.steps in self._snapshots_at:
            self.snapshots.append(snapshot_of(lane, steps=self.steps))
        if self.steps in self._moments_at:
            self._passed = list(self._distributions(lane))

    def after_backward(self, lane: Lane, losses: Array, scale: Array) -> None:
        """Record loss and gradients, and close the step."""
        self._row[0] = losses[0]
        self._note_nonfinite([("loss", None, losses)])
        self._note_nonfinite(
            (
                ("gradients", layer, array)
                for layer, view in enumerate(lane.gradient_views)
                for array in _arrays(view)
            )
        )
        factor = max(float(scale[0, 0, 0]), SMALLEST_SCALE) * lane.batch.ones.shape[1]
        first, middle, last = self._stops[-4:-1]
        self._row[first:middle] = layer_norms(lane.gradient, self._network.weight_columns)[0] / factor
        self._row[middle:last] = [
            layer_norms(view.b, (slice(None),))[0, 0] / factor for view in lane.gradient_views
        ]
        if self._passed:
            self._close_moment(lane.gradient_views, factor)
        self._tape.append(self._row)

    def _close_moment(self, gradients: Sequence[BlockParameters], factor: float) -> None:
        layers = tuple(
            LayerMoment(before=before, after=after, gradient=distribution_of(gradient.w, scale=factor))
            for (before, after), gradient in zip(self._passed, gradients, strict=True)
        )
        self.moments.append(Moment(step=self.steps, layers=layers))
        self._passed = []

    def _note_watched(self, views: Sequence[BlockParameters]) -> None:
        starts = self._stops
        for start, (layer, units) in zip(starts, self.watched.items(), strict=False):
            chosen = list(units)
            self._row[start : start + len(chosen)] = (
                views[layer].w[0][:, chosen].mean(axis=0, dtype=np.float64)
            )
            self._row[start + len(chosen) : start + 2 * len(chosen)] = views[layer].b[0][chosen]

    def _of_forward(self, lane: Lane) -> Iterator[tuple[str, int | None, Array]]:
        """Yield the arrays of a forward pass in the order of the computation, with their names and layers."""
        for layer, (view, buffers) in enumerate(zip(lane.parameter_views, lane.batch.blocks, strict=True)):
            yield "weights", layer, view.w
            for array in _arrays(view)[1:]:
                yield "biases", layer, array
            yield "activations" if layer < self._layers - 1 else "logits", layer, buffers.output

    def _note_nonfinite(
        self, arrays: Iterator[tuple[str, int | None, Array]] | Sequence[tuple[str, None, Array]]
    ) -> None:
        if self.nonfinite is not None:
            return
        for name, layer, array in arrays:
            if not np.isfinite(array).all():
                self.nonfinite = FirstNonFinite(step=self.steps, array=name, layer=layer)
                return

    def _distributions(self, lane: Lane) -> Iterator[tuple[Distribution, Distribution]]:
        """Yield the distributions of each layer's numbers at its activation's input, and at the next layer's input."""
        x = lane.batch.x
        for block, view, buffers in zip(
            self._network.blocks, lane.parameter_views, lane.batch.blocks, strict=True
        ):
            after = distribution_of(buffers.output)
            is_output = block.activation is None
            yield (after if is_output else distribution_of(_activated(view, buffers, x))), after
            x = buffers.output


def snapshot_of(lane: Lane, *, steps: int) -> NetworkSnapshot:
    """Return a copy of the lane's first row of state, without the optimizer's states."""
    return NetworkSnapshot(steps=steps, parameters=lane.parameters[0].copy(), running=lane.running[0].copy())


def _activated(view: BlockParameters, buffers: BlockBuffers, x: Array) -> Array:
    """Return the input of a hidden block's activation in the last forward pass, (B, O), recomputed from its inputs."""
    if buffers.kept is None:
        made: Array = x[0] @ view.w[0] + view.b[0]
        return made
    xhat: Array = buffers.kept.xhat[0]
    if view.gamma is None or view.beta is None:
        return xhat
    scaled: Array = xhat * view.gamma[0] + view.beta[0]
    return scaled


def _arrays(view: BlockParameters) -> list[Array]:
    return [array for array in (view.w, view.b, view.gamma, view.beta) if array is not None]


def _accuracy(z: Array, t: Array) -> float:
    """Return the share of examples whose largest output of `z` (B, C) is their class's; NaN counts as the first."""
    if z.shape[1] == 1:
        return float(((z[:, 0] > 0) == (t[:, 0] > 0.5)).mean())
    return float((z.argmax(axis=1) == t.argmax(axis=1)).mean())
