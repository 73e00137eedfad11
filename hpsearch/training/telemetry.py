"""What is measured inside the networks of a cohort, when, and what it costs.

Every step: the loss, and whether it is finite. At the steps of `next_look`: one `Sample`, from arrays that the step
leaves behind anyway. Every epoch: the validation loss and accuracy.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from hpsearch.nn.arrays import Array
from hpsearch.nn.network import BlockBuffers, BlockParameters
from hpsearch.records import LayerSample, NonFinite, Sample
from hpsearch.training.workspace import Lane

DENSE_LOOKS_UNTIL = 25
EARLY_LOOKS_UNTIL = 200
LEAST_STREAK = 12
STREAK_EXAMPLES = 1200
ALARM_DEAD_SHARE = 0.85
ALARM_LOGIT = 1e5

SMALLEST_SAFE_SQUARE = 1e-30
"""Below it the squares of a float32 matrix, which end at 1e-45, may be missing from their sum."""

SMALLEST_SCALE = 1e-300
"""Stands for a learning rate that is 0 in the network's precision where a gradient is divided by it."""


def next_look(age: int) -> int:
    """Return the first step after step `age` at which a healthy trial is looked at.

    Every 5 steps until 25, every 25 until 200, every 100 from there. It depends on the trial's own age alone, so its
    samples do not depend on its company.
    """
    if age < DENSE_LOOKS_UNTIL:
        interval = 5
    elif age < EARLY_LOOKS_UNTIL:
        interval = 25
    else:
        interval = 100
    return (age // interval + 1) * interval


def alarm_streak(batch_size: int) -> int:
    """Return how many alarming samples in a row are taken at every step before looking goes back to its rhythm.

    12 steps, or the 1,200 examples that tell a silent unit from a rare one where minibatches are smaller than 100.
    """
    return max(LEAST_STREAK, -(-STREAK_EXAMPLES // batch_size))


def is_alarming(sample: Sample) -> bool:
    """True when the next step should be looked at as well: a nearly silent layer, or huge outputs."""
    return sample.logit_max >= ALARM_LOGIT or sample.dead_share >= ALARM_DEAD_SHARE


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ForwardLook:
    """Statistics of a forward pass for k trials: `logit_max` (k,), `dead_shares` (k, L) of the hidden layers."""

    logit_max: Array
    dead_shares: Array


def look_forward(blocks: Sequence[BlockBuffers], rows: slice) -> ForwardLook:
    """Measure the buffers that a forward pass left for `rows`, before the loss overwrites the logits."""
    logits = blocks[-1].y[rows]
    dead = [1 - (block.y[rows] > 0).any(axis=1).mean(axis=1) for block in blocks[:-1]]
    return ForwardLook(
        logit_max=np.abs(logits).max(axis=(1, 2)),
        dead_shares=np.stack(dead, axis=1) if dead else np.zeros((len(logits), 0)),
    )


def _layer_norms(views: Sequence[BlockParameters], rows: slice) -> Array:
    """Return the Euclidean norms (k, L) of the weight matrices, or of their gradients, of `rows`."""
    norms: Array = np.sqrt(np.stack([_sums_of_squares(view.w[rows]) for view in views], axis=1))
    return norms


def _sums_of_squares(matrices: Array) -> Array:
    """Return the sums of squares (k,) of `matrices` (k, I, O), in float64.

    Sums that may have lost something to float32's range, as those of vanishing gradients do, are taken again.
    """
    flat = matrices.reshape(len(matrices), -1)
    sums: Array = np.vecdot(flat, flat).astype(np.float64)
    for row in np.flatnonzero((sums < SMALLEST_SAFE_SQUARE) | (sums == np.inf)):
        wide = flat[row].astype(np.float64)
        sums[row] = np.vecdot(wide, wide)
    return sums


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class BackwardLook:
    """Statistics of a backward pass for k trials, and what is needed to compare with the update that follows.

    `gradient_norms` and `weight_norms` (k, L), of the weight matrices; `gradient` and `before` (k, P) are copies.
    Gradients are those of the mean loss multiplied by `scales` (k,), float64.
    """

    gradient_norms: Array
    weight_norms: Array
    gradient: Array
    before: Array
    scales: Array


def look_backward(lane: Lane, rows: slice, scales: Array) -> BackwardLook:
    """Measure the gradients of `rows` of a lane before the optimizer spends them.

    `scales` (k,) are the factors by which each example's gradient was multiplied.
    """
    examples = lane.batch.ones.shape[1]
    return BackwardLook(
        gradient_norms=_layer_norms(lane.gradient_views, rows),
        weight_norms=_layer_norms(lane.parameter_views, rows),
        gradient=lane.gradient[rows].copy(),
        before=lane.parameters[rows].copy(),
        scales=np.maximum(scales.astype(np.float64), SMALLEST_SCALE) * examples,
    )


def samples_of(
    forward: ForwardLook, backward: BackwardLook, *, after: Array, losses: Array, steps: Sequence[int]
) -> Iterator[Sample]:
    """Yield the samples of k trials out of two looks at the same rows.

    `after` (k, P) are the parameters that the update left, `losses` (k,) the minibatch means in float64, `steps`
    the trials' own.
    """
    predicted = _predicted_decrease(backward, after)
    for i, (step, scale) in enumerate(zip(steps, backward.scales.tolist(), strict=True)):
        dead_shares = [*forward.dead_shares[i].tolist(), 0.0]
        norms = zip(dead_shares, backward.gradient_norms[i], backward.weight_norms[i], strict=True)
        yield Sample(
            step=step,
            loss=float(losses[i]),
            logit_max=float(forward.logit_max[i]),
            predicted_decrease=float(predicted[i]) / scale,
            layers=tuple(
                LayerSample(dead_share=dead, gradient_norm=float(gradient) / scale, weight_norm=float(weight))
                for dead, gradient, weight in norms
            ),
        )


def _predicted_decrease(look: BackwardLook, after: Array) -> Array:
    """Return gradient . (before - after) (k,): the fall of the loss to first order, in the gradient's scale."""
    np.subtract(look.before, after, out=look.before)
    products: Array = np.vecdot(look.gradient, look.before)
    return products.astype(np.float64)


def first_nonfinite(lane: Lane, row: int, step: int) -> NonFinite:
    """Name the first array of a lane's trial that holds a NaN or an infinity, when its loss is not finite.

    Called after the forward pass and before the backward pass. The loss overwrites the logits, so they are
    computed again from the last hidden layer.
    """
    blocks, parameters = lane.batch.blocks, lane.parameter_views[-1]
    below = blocks[-2].y[row] if len(blocks) > 1 else lane.batch.x[min(row, len(lane.batch.x) - 1)]
    candidates = [
        ("weights", lane.parameters[row]),
        *(("activations", block.y[row]) for block in blocks[:-1]),
        ("logits", below @ parameters.w[row] + parameters.b[row]),
    ]
    for name, array in candidates:
        if not np.isfinite(array).all():
            return NonFinite(step=step, array=name)
    return NonFinite(step=step, array="loss")
