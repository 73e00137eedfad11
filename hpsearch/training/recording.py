"""One configuration, trained exactly as a row of a cohort, and recorded from the inside at every step."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, final

import numpy as np
from numpy.typing import NDArray

from hpsearch.data.prepare import PreparedData
from hpsearch.nn.network import Network, build_network
from hpsearch.study.spec import Configuration
from hpsearch.telemetry import Telemetry
from hpsearch.training.cohort import Cohort, never
from hpsearch.training.examples import output_count
from hpsearch.training.loop import train_to_step
from hpsearch.training.recorder import FirstNonFinite, Moment, NetworkSnapshot, Recorder, UnitTracks
from hpsearch.training.row import shape_of
from hpsearch.training.tracks import Track

WATCHED_UNITS: Final = 10
MOMENTS: Final = 60


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Subject:
    """The subject of training: the configuration of trial `number` of a study with that `seed` and those data."""

    configuration: Configuration
    data: PreparedData
    seed: int
    number: int

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
        watched=_watched(network, watch),
        moments=frozenset(watch.moments or evenly_spaced(until, MOMENTS)),
        snapshots=frozenset(watch.snapshots),
    )
    cohort = Cohort(shape_of(configuration), data, capacity=1, seed=subject.seed, observer=recorder)
    cohort.join(subject.number, configuration)
    train_to_step(cohort, until, is_interrupted=is_interrupted)
    return _recording(cohort, recorder, subject)


def evenly_spaced(size: int, count: int) -> tuple[int, ...]:
    """Return `count` of the numbers below `size`, evenly spread, including the first and the last; all if fewer."""
    return tuple(sorted({round(place) for place in np.linspace(0, size - 1, min(count, size)).tolist()}))


def _watched(network: Network, watch: RecordingOptions) -> dict[int, tuple[int, ...]]:
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
