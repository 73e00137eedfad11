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

_OF_A_LAYER: Final = (
    "dead_share",
    "silent_share",
    "saturated_share",
    "gradient_norm",
    "weight_norm",
    "update_norm",
)
_OF_A_TRIAL: Final = (
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
    ahead: ForwardStatistics,
    behind: BackwardStatistics,
    update: UpdateStatistics,
    *,
    losses: Array,
    steps: Sequence[int],
) -> Iterator[Sample]:
    """Yield the samples of k trials from three measurements of the same rows.

    `losses` (k,) are the minibatch means in float64, `steps` the trials' own.
    """
    of_trials = _numbers_of_trials(ahead, behind, update, losses).tolist()
    of_layers = _numbers_of_layers(ahead, behind, update).tolist()
    for step, own, layers in zip(steps, of_trials, of_layers, strict=True):
        yield Sample(
            step=step,
            layers=tuple(LayerSample(**dict(zip(_OF_A_LAYER, layer, strict=True))) for layer in layers),
            **dict(zip(_OF_A_TRIAL, own, strict=True)),
        )


def _numbers_of_layers(
    ahead: ForwardStatistics, behind: BackwardStatistics, update: UpdateStatistics
) -> Array:
    """Return the measurements of each layer, (k, L, 6) as in `_OF_A_LAYER`; the output layer has no shares of units."""
    of_layers = np.zeros((*behind.weight_norms.shape, len(_OF_A_LAYER)))
    hidden = of_layers[:, :-1]
    hidden[:, :, 0] = ahead.dead_shares
    hidden[:, :, 1] = ahead.silent_shares
    hidden[:, :, 2] = ahead.saturated_shares
    np.divide(behind.gradient_norms, behind.scales[:, None], out=of_layers[:, :, 3])
    of_layers[:, :, 4] = behind.weight_norms
    of_layers[:, :, 5] = update.update_norms
    return of_layers


def _numbers_of_trials(
    ahead: ForwardStatistics, behind: BackwardStatistics, update: UpdateStatistics, losses: Array
) -> Array:
    """Return the measurements of each trial, (k, 10) as in `_OF_A_TRIAL`."""
    of_trials = np.empty((len(losses), len(_OF_A_TRIAL)))
    columns = (
        losses,
        ahead.logit_max,
        update.predicted_decrease / behind.scales,
        ahead.accuracy,
        ahead.top_share,
        ahead.output_range,
        behind.cosine,
        behind.coherence,
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
    ahead: ForwardStatistics


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
        for first, last in _due_stretches(rows):
            part, watched = self._workspace.part(lane, first, last), rows[first:last]
            kept = np.array([1 - row.configuration.model.dropout for row in watched])
            pending.append(
                PendingSample(
                    first=first,
                    last=last,
                    part=part,
                    rows=watched,
                    probes=is_probe(watched[0].age),
                    ahead=measure_forward(self._context, part, self.history, kept),
                )
            )
        return pending

    def sample_backward(self, pending: Sequence[PendingSample], scale: Array) -> list[BackwardStatistics]:
        """Sample the same rows after the backward pass, whose gradients were multiplied by `scale` (k, 1, 1)."""
        return [
            measure_backward(
                self._context,
                look.part,
                self.history,
                activity=look.ahead.activity,
                scales=scale[look.first : look.last, 0, 0],
            )
            for look in pending
        ]

    def finish_samples(
        self, pending: Sequence[PendingSample], behind: Sequence[BackwardStatistics], losses: Array
    ) -> list[int]:
        """Sample them after the update, and give each row its sample; return their places in the cohort.

        `losses` (k,) are the lane's minibatch means, float64.
        """
        for look, back in zip(pending, behind, strict=True):
            own = losses[look.first : look.last]
            update = measure_update(self._context, look.part, back, losses=own, probes=look.probes)
            steps = [row.age for row in look.rows]
            for row, sample in zip(
                look.rows, _samples_of(look.ahead, back, update, losses=own, steps=steps), strict=True
            ):
                row.add_sample(sample)
        return [place for look in pending for place in range(look.part.start, look.part.stop)]


def _due_stretches(rows: Sequence[Row]) -> list[tuple[int, int]]:
    """Return stretches (first, last) of neighbours that are all due, and all probed or none."""
    stretches: list[tuple[int, int]] = []
    probed: bool | None = None
    for place, row in enumerate(rows):
        if row.next_sample_at > row.age:
            continue
        probes = is_probe(row.age)
        if stretches and stretches[-1][1] == place and probes == probed:
            stretches[-1] = (stretches[-1][0], place + 1)
        else:
            stretches.append((place, place + 1))
        probed = probes
    return stretches
