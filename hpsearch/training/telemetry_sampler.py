"""The sampler of a cohort's due rows, at three moments of a step."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, final

import numpy as np

from hpsearch.nn.arrays import Array
from hpsearch.nn.network import Network
from hpsearch.telemetry import LayerSample, Sample
from hpsearch.training.measurements import (
    FLAT,
    BackwardStatistics,
    ForwardStatistics,
    RowHistory,
    SamplingContext,
    UpdateStatistics,
    measure_backward,
    measure_forward,
    measure_update,
)
from hpsearch.training.row import Row
from hpsearch.training.sampling_schedule import is_probe
from hpsearch.training.workspace import Lane, Workspace

_LAYER_FIELDS: Final = (
    "dead_share",
    "silent_share",
    "saturated_share",
    "gradient_norm",
    "weight_norm",
    "update_norm",
)
_TRIAL_FIELDS: Final = (
    "loss",
    "logit_max",
    "predicted_decrease",
    "accuracy",
    "top_share",
    "output_range",
    "gradient_cosine",
    "coherence",
    "actual_decrease",
    "evaluation_loss",
)


def _samples_of(
    forward: ForwardStatistics,
    backward: BackwardStatistics,
    update: UpdateStatistics,
    *,
    losses: Array,
    steps: Sequence[int],
) -> Iterator[Sample]:
    """Yield the samples of k trials from three measurements of the same rows.

    `losses` (k,) are the minibatch means in float64, `steps` the trials' own.
    """
    of_trials = _trial_numbers(forward, backward, update, losses).tolist()
    of_layers = _layer_numbers(forward, backward, update).tolist()
    for step, own, layers in zip(steps, of_trials, of_layers, strict=True):
        yield Sample(
            step=step,
            layers=tuple(LayerSample(**dict(zip(_LAYER_FIELDS, layer, strict=True))) for layer in layers),
            **dict(zip(_TRIAL_FIELDS, own, strict=True)),
        )


def _layer_numbers(
    forward: ForwardStatistics, backward: BackwardStatistics, update: UpdateStatistics
) -> Array:
    """Return the measurements of each layer, (k, L, 6) as in `_LAYER_FIELDS`.

    The output layer has no shares of units.
    """
    of_layers = np.zeros((*backward.weight_norms.shape, len(_LAYER_FIELDS)))
    hidden = of_layers[:, :-1]
    hidden[:, :, 0] = forward.dead_shares
    hidden[:, :, 1] = forward.silent_shares
    hidden[:, :, 2] = forward.saturated_shares
    np.divide(backward.gradient_norms, backward.scales[:, None], out=of_layers[:, :, 3])
    of_layers[:, :, 4] = backward.weight_norms
    of_layers[:, :, 5] = update.update_norms
    return of_layers


def _trial_numbers(
    forward: ForwardStatistics, backward: BackwardStatistics, update: UpdateStatistics, losses: Array
) -> Array:
    """Return the measurements of each trial, (k, 10) as in `_TRIAL_FIELDS`."""
    of_trials = np.empty((len(losses), len(_TRIAL_FIELDS)))
    columns = (
        losses,
        forward.logit_max,
        update.predicted_decrease / backward.scales,
        forward.accuracy,
        forward.top_share,
        forward.output_range,
        backward.cosine,
        backward.coherence,
        update.actual_decrease,
        update.evaluation_loss,
    )
    for place, column in enumerate(columns):
        of_trials[:, place] = column
    return of_trials


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class PendingSample:
    """An unfinished sample of neighbouring rows of a lane, `first` to `last`: the results of the forward pass."""

    first: int
    last: int
    part: Lane
    rows: Sequence[Row]
    probes: bool
    forward: ForwardStatistics


@final
class TelemetrySampler:
    """Samples the rows of one cohort, and keeps for each row the data for its next sample."""

    def __init__(self, network: Network, workspace: Workspace, *, activation: str, classifies: bool) -> None:
        self._context = SamplingContext(network=network, classifies=classifies, flat=FLAT.get(activation))
        self._workspace = workspace
        self.history = RowHistory(network, rows=workspace.rows, dtype=workspace.dtype)

    def sample_forward(self, lane: Lane, rows: Sequence[Row]) -> list[PendingSample]:
        """Sample those of the lane's rows that are due, after the forward pass."""
        pending = []
        for first, last in _due_ranges(rows):
            part, watched = self._workspace.part(lane, first, last), rows[first:last]
            kept = np.array([1 - row.configuration.model.dropout for row in watched])
            pending.append(
                PendingSample(
                    first=first,
                    last=last,
                    part=part,
                    rows=watched,
                    probes=is_probe(watched[0].age),
                    forward=measure_forward(self._context, part, self.history, kept),
                )
            )
        return pending

    def sample_backward(self, pending: Sequence[PendingSample], scale: Array) -> list[BackwardStatistics]:
        """Sample the same rows after the backward pass, whose gradients were multiplied by `scale` (k, 1, 1)."""
        return [
            measure_backward(
                self._context,
                sample.part,
                self.history,
                activity=sample.forward.activity,
                scales=scale[sample.first : sample.last, 0, 0],
            )
            for sample in pending
        ]

    def finish_samples(
        self, pending: Sequence[PendingSample], backward: Sequence[BackwardStatistics], losses: Array
    ) -> list[int]:
        """Sample the same rows after the update, and add to each its sample; return their places in the cohort.

        `losses` (k,) are the lane's minibatch means, float64.
        """
        for unfinished, gradients in zip(pending, backward, strict=True):
            own = losses[unfinished.first : unfinished.last]
            update = measure_update(
                self._context, unfinished.part, gradients, losses=own, probes=unfinished.probes
            )
            steps = [row.age for row in unfinished.rows]
            samples = _samples_of(unfinished.forward, gradients, update, losses=own, steps=steps)
            for row, sample in zip(unfinished.rows, samples, strict=True):
                row.add_sample(sample)
        return [place for sample in pending for place in range(sample.part.start, sample.part.stop)]


def _due_ranges(rows: Sequence[Row]) -> list[tuple[int, int]]:
    """Return ranges (first, last) of neighbours that are all due, and all probed or none."""
    ranges: list[tuple[int, int]] = []
    probed: bool | None = None
    for place, row in enumerate(rows):
        if row.next_sample_at > row.age:
            continue
        probes = is_probe(row.age)
        if ranges and ranges[-1][1] == place and probes == probed:
            ranges[-1] = (ranges[-1][0], place + 1)
        else:
            ranges.append((place, place + 1))
        probed = probes
    return ranges
