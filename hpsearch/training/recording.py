"""One configuration, trained exactly as a row of a cohort, and recorded from the inside at every step."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, final

import numpy as np
from numpy.typing import NDArray

from hpsearch.data.prepare import PreparedData
from hpsearch.nn.arrays import Array
from hpsearch.nn.network import BlockBuffers, BlockParameters, Network, build_network
from hpsearch.study.metrics import Metric
from hpsearch.study.spec import Configuration
from hpsearch.telemetry import Telemetry
from hpsearch.training.cohort import Cohort, never
from hpsearch.training.distributions import Distribution, distribution_of
from hpsearch.training.examples import output_count
from hpsearch.training.loop import train_to_step
from hpsearch.training.measurements import SMALLEST_SCALE, layer_norms
from hpsearch.training.row import shape_of
from hpsearch.training.tracks import Tape, Track
from hpsearch.training.workspace import Lane, NetworkSnapshot, snapshot_of


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
        self._pending_layers: list[tuple[Distribution, Distribution]] = []
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
        self._record_watched(lane.parameter_views)
        self._row[self._stops[-2] :] = [fires.mean() for fires in fired]
        self._search_nonfinite(self._forward_arrays(lane))
        if self.steps in self._snapshots_at:
            self.snapshots.append(snapshot_of(lane, steps=self.steps))
        if self.steps in self._moments_at:
            self._pending_layers = list(self._distributions(lane))

    def after_backward(self, lane: Lane, losses: Array, scale: Array) -> None:
        """Record loss and gradients, and close the step."""
        self._row[0] = losses[0]
        self._search_nonfinite([("loss", None, losses)])
        self._search_nonfinite(
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
        if self._pending_layers:
            self._close_moment(lane.gradient_views, factor)
        self._tape.append(self._row)

    def _close_moment(self, gradients: Sequence[BlockParameters], factor: float) -> None:
        layers = tuple(
            LayerMoment(before=before, after=after, gradient=distribution_of(gradient.w, scale=factor))
            for (before, after), gradient in zip(self._pending_layers, gradients, strict=True)
        )
        self.moments.append(Moment(step=self.steps, layers=layers))
        self._pending_layers = []

    def _record_watched(self, views: Sequence[BlockParameters]) -> None:
        starts = self._stops
        for start, (layer, units) in zip(starts, self.watched.items(), strict=False):
            chosen = list(units)
            self._row[start : start + len(chosen)] = (
                views[layer].w[0][:, chosen].mean(axis=0, dtype=np.float64)
            )
            self._row[start + len(chosen) : start + 2 * len(chosen)] = views[layer].b[0][chosen]

    def _forward_arrays(self, lane: Lane) -> Iterator[tuple[str, int | None, Array]]:
        """Yield the arrays of a forward pass in the order of the computation, with their names and layers."""
        for layer, (view, buffers) in enumerate(zip(lane.parameter_views, lane.batch.blocks, strict=True)):
            yield "weights", layer, view.w
            for array in _arrays(view)[1:]:
                yield "biases", layer, array
            yield "activations" if layer < self._layers - 1 else "logits", layer, buffers.output

    def _search_nonfinite(
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
            yield (after if is_output else distribution_of(_activation_input(view, buffers, x))), after
            x = buffers.output


def _activation_input(view: BlockParameters, buffers: BlockBuffers, x: Array) -> Array:
    """Return the input of a hidden block's activation in the last forward pass, (B, O), recomputed from its inputs."""
    if buffers.kept is None:
        z: Array = x[0] @ view.w[0] + view.b[0]
        return z
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


WATCHED_UNITS: Final = 10
MOMENTS: Final = 60


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Subject:
    """The subject of training: the configuration of trial `number` of a study with that `seed` and those data.

    `metric` is the study's, which every epoch measures.
    """

    configuration: Configuration
    data: PreparedData
    seed: int
    number: int
    metric: Metric = "auto"

    @property
    def steps_per_epoch(self) -> int:
        """Minibatches in one pass over the training examples; the last may be smaller."""
        return -(-len(self.data.training.inputs) // self.configuration.training.batch_size)

    @property
    def steps(self) -> int:
        """The number of steps in the configuration's epochs."""
        return self.steps_per_epoch * self.configuration.training.epochs


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class RecordingOptions:
    """The contents of a recording. Empty fields take defaults.

    `units` are the watched units of the first hidden layer (ten, evenly spread); `moments` are the steps whose
    distributions are kept (60, evenly spread over the run); of the steps in `snapshots`, none if it is empty, the
    parameters are kept as they were before the step.
    """

    units: tuple[int, ...] = ()
    moments: tuple[int, ...] = ()
    snapshots: tuple[int, ...] = ()


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Recording:
    """The inside of a trial during its training, from step 0 on.

    Tracks hold at most `tracks.POINTS` points, however long the run; runs of at most so many steps are exact. L dense
    layers, H = L - 1 of them hidden. `loss` and `accuracy` (NaN in regression) are one number per step, of the
    minibatch before the step. `output` watches the first ten outputs, `first` units of the first hidden layer (None
    without one). `weight_gradients` and `bias_gradients` (M, L) are Euclidean norms, for the mean data loss; `firing`
    (M, H) the shares of units that were positive for some example of the minibatch, and `last_fired` for each hidden
    layer the last such step of each unit, -1 for never. `final` is the snapshot after training.
    """

    subject: Subject
    network: Network
    steps: int
    telemetry: Telemetry
    loss: Track
    accuracy: Track
    output: UnitTracks
    first: UnitTracks | None
    weight_gradients: Track
    bias_gradients: Track
    firing: Track
    last_fired: tuple[NDArray[np.int64], ...]
    nonfinite: FirstNonFinite | None
    moments: tuple[Moment, ...]
    snapshots: tuple[NetworkSnapshot, ...]
    final: NetworkSnapshot


def record(
    subject: Subject,
    *,
    watch: RecordingOptions | None = None,
    until_step: int | None = None,
    is_interrupted: Callable[[], bool] = never,
) -> Recording:
    """Return the recording of `subject`, trained as a worker trains it.

    It ends with the configuration's epochs, after `until_step` steps if that is less, or as soon as `is_interrupted`.
    NaN and infinity do not end it. Raises ValueError for watched units that the layer lacks.
    """
    watch = watch or RecordingOptions()
    until = subject.steps if until_step is None else min(until_step, subject.steps)
    configuration, data = subject.configuration, subject.data
    outputs = output_count(data, configuration.model)
    network = build_network(configuration.model, inputs=data.inputs, outputs=outputs)
    recorder = Recorder(
        network,
        classifies=data.task == "classification",
        watched=_watched_units(network, watch),
        moments=frozenset(watch.moments or evenly_spaced(until, MOMENTS)),
        snapshots=frozenset(watch.snapshots),
    )
    cohort = Cohort(
        shape_of(configuration),
        data,
        capacity=1,
        seed=subject.seed,
        metric=subject.metric,
        observer=recorder,
    )
    cohort.join(subject.number, configuration)
    train_to_step(cohort, until, is_interrupted=is_interrupted)
    return _recording(cohort, recorder, subject)


def evenly_spaced(size: int, count: int) -> tuple[int, ...]:
    """Return `count` of the numbers below `size`, evenly spread, including the first and the last; all if fewer."""
    return tuple(sorted({round(place) for place in np.linspace(0, size - 1, min(count, size)).tolist()}))


def _watched_units(network: Network, watch: RecordingOptions) -> dict[int, tuple[int, ...]]:
    """Return the watched units by their layer."""
    last = len(network.blocks) - 1
    outputs = network.blocks[last].dense.outputs
    watched = {last: tuple(range(min(outputs, WATCHED_UNITS)))}
    if last:
        width = network.blocks[0].dense.outputs
        wrong = [unit for unit in watch.units if not 0 <= unit < width]
        if wrong:
            raise ValueError(f"watched units must be in 0 to {width - 1} (got {', '.join(map(str, wrong))})")
        watched[0] = watch.units or evenly_spaced(width, WATCHED_UNITS)
    return watched


def _recording(cohort: Cohort, recorder: Recorder, subject: Subject) -> Recording:
    general, *of_units, weight_gradients, bias_gradients, firing = recorder.tracks()
    units = [
        UnitTracks(
            units=chosen, weights=track.columns(0, len(chosen)), biases=track.columns(len(chosen), None)
        )
        for track, chosen in zip(of_units, recorder.watched.values(), strict=True)
    ]
    return Recording(
        subject=subject,
        network=cohort.network,
        steps=recorder.steps,
        telemetry=cohort.telemetry(subject.number),
        loss=general.columns(0, 1),
        accuracy=general.columns(1, 2),
        output=units[0],
        first=units[1] if len(units) > 1 else None,
        weight_gradients=weight_gradients,
        bias_gradients=bias_gradients,
        firing=firing,
        last_fired=recorder.last_fired,
        nonfinite=recorder.nonfinite,
        moments=tuple(recorder.moments),
        snapshots=tuple(recorder.snapshots),
        final=NetworkSnapshot(
            steps=recorder.steps,
            parameters=cohort.parameters(subject.number),
            running=cohort.running(subject.number),
        ),
    )
