"""The sampler of a cohort's due rows, at three moments of a step."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, final

import numpy as np
from numpy.typing import NDArray

from hpsearch.nn.arrays import Array
from hpsearch.nn.network import Network
from hpsearch.telemetry import LayerSample, Sample
from hpsearch.training.examples import Examples
from hpsearch.training.measurements import (
    FLAT,
    BackwardStatistics,
    ForwardStatistics,
    RowHistory,
    SamplingContext,
    UpdateStatistics,
    mean_losses,
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
    "batch_loss",
)

SMALL_MINIBATCH: Final = 64
WIDE_EXAMPLES: Final = 256
"""A minibatch below the first size is too small a sample: the telemetry takes this many training examples instead.

A unit that is silent for 256 examples fires for less than 1.2 % of them, at 95 %; an accuracy is known to within 3 %.
"""


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
    """Return the measurements of each trial, (k, 11) as in `_TRIAL_FIELDS`."""
    of_trials = np.empty((len(losses), len(_TRIAL_FIELDS)))
    columns = (
        losses if forward.losses is None else forward.losses,
        forward.logit_max,
        update.predicted_decrease / backward.scales,
        forward.accuracy,
        forward.top_share,
        forward.output_range,
        backward.cosine,
        backward.coherence,
        update.actual_decrease,
        update.evaluation_loss,
        np.nan if forward.losses is None else losses,
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
    examples: int


def _samples_of(
    pending: PendingSample, backward: BackwardStatistics, update: UpdateStatistics, *, losses: Array
) -> Iterator[Sample]:
    """Yield the samples of k trials from three measurements of the same rows, whose minibatch means are `losses` (k,).

    `losses` are in float64.
    """
    of_trials = _trial_numbers(pending.forward, backward, update, losses).tolist()
    of_layers = _layer_numbers(pending.forward, backward, update).tolist()
    for row, own, layers in zip(pending.rows, of_trials, of_layers, strict=True):
        yield Sample(
            step=row.age,
            examples=pending.examples,
            batch_examples=pending.part.batch.ones.shape[1],
            layers=tuple(LayerSample(**dict(zip(_LAYER_FIELDS, layer, strict=True))) for layer in layers),
            **dict(zip(_TRIAL_FIELDS, own, strict=True)),
        )


@final
class WideExamples:
    """A fixed random part of the training examples, on which networks are evaluated whose minibatches are small."""

    def __init__(self, training: Examples, workspace: Workspace, chosen: NDArray[np.intp]) -> None:
        """Take the `chosen` (W,) of the training examples; `workspace` has buffers for as many."""
        self._workspace = workspace
        self._examples = len(chosen)
        self._x = training.inputs[None, chosen]
        self._t = np.empty((1, workspace.outputs, len(chosen)), self._x.dtype).transpose(0, 2, 1)
        training.gather(chosen[None], self._x, self._t)

    def __len__(self) -> int:
        return self._examples

    def evaluate(self, network: Network, part: Lane) -> Lane:
        """Return a lane of the rows of `part` after an evaluation of these examples."""
        lane = self._workspace.lane(part.start, part.stop, len(self), shared_inputs=True)
        lane = replace(lane, batch=replace(lane.batch, x=self._x, t=self._t))
        network.evaluate(lane.parameter_views, lane.batch)
        return lane


@final
class TelemetrySampler:
    """Samples the rows of one cohort, and keeps for each row the data for its next sample."""

    def __init__(
        self,
        network: Network,
        workspace: Workspace,
        *,
        activation: str,
        classifies: bool,
        wide: WideExamples | None = None,
    ) -> None:
        """Sample the rows of `workspace`; those of small minibatches on the `wide` examples, if there are any."""
        self._context = SamplingContext(network=network, classifies=classifies, flat=FLAT.get(activation))
        self._workspace = workspace
        self._wide = wide
        self.history = RowHistory(network, rows=workspace.rows, dtype=workspace.dtype)

    def sample_forward(self, lane: Lane, rows: Sequence[Row]) -> list[PendingSample]:
        """Sample those of the lane's rows that are due, after the forward pass."""
        pending = []
        for first, last in _due_ranges(rows):
            part, watched = self._workspace.part(lane, first, last), rows[first:last]
            kept = np.array([1 - row.configuration.model.dropout for row in watched])
            forward, examples = self._forward(part, kept)
            pending.append(
                PendingSample(
                    first=first,
                    last=last,
                    part=part,
                    rows=watched,
                    probes=is_probe(watched[0].age, cycle=watched[0].cycle),
                    forward=forward,
                    examples=examples,
                )
            )
        return pending

    def _forward(self, part: Lane, kept: Array) -> tuple[ForwardStatistics, int]:
        """Return the statistics of the forward pass, and the number of examples backward them."""
        examples, wide = part.batch.ones.shape[1], self._wide
        if wide is None or examples >= SMALL_MINIBATCH:
            return measure_forward(self._context, part, self.history, kept), examples
        lane = wide.evaluate(self._context.network, part)
        forward = measure_forward(self._context, lane, self.history, np.ones_like(kept))
        blocks = part.batch.blocks
        last = blocks[-2].output if len(blocks) > 1 else part.batch.x
        losses = mean_losses(self._context.network, lane)
        return replace(forward, activity=np.vecdot(last, last), losses=losses), len(wide)

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
            samples = _samples_of(unfinished, gradients, update, losses=own)
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
        probes = is_probe(row.age, cycle=row.cycle)
        if ranges and ranges[-1][1] == place and probes == probed:
            ranges[-1] = (ranges[-1][0], place + 1)
        else:
            ranges.append((place, place + 1))
        probed = probes
    return ranges
