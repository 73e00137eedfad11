"""Measurements inside the networks of a cohort: each statistic of `telemetry.Sample` once, for k rows.

Every step: the loss, and whether it is finite. At the steps of `sampling_schedule.next_sample_step`: one `Sample`, from
arrays that the step produces in any case; at those of `sampling_schedule.is_probe`, one more forward pass. Every epoch:
validation.

A sample has three parts, since a step overwrites arrays that it no longer needs: after the forward pass, after the
backward pass, after the update.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, final

import numpy as np
from numpy.typing import NDArray

from hpsearch.nn.activations import SELU_ALPHA, SELU_SCALE
from hpsearch.nn.arrays import Array
from hpsearch.nn.network import BlockBuffers, Network
from hpsearch.telemetry import NonFinite
from hpsearch.training.workspace import Lane


@final
class RowHistory:
    """Of K rows: the silence of each hidden unit, and the last sampled gradient of the output's weights.

    `silence` (K, U) counts the sampled examples since a unit last fired, for all U hidden units, input side first.
    `gradient` (K, H C) is in the scale of its sample, and `gradient_norm` (K,) its norm, float64; all are 0 until a
    row's first sample.
    """

    def __init__(self, network: Network, *, rows: int, dtype: np.dtype[np.floating]) -> None:
        hidden, output = network.blocks[:-1], network.blocks[-1].dense
        self.silence: NDArray[np.int32] = np.zeros(
            (rows, sum(block.dense.outputs for block in hidden)), np.int32
        )
        self.gradient: Array = np.zeros((rows, output.inputs * output.outputs), dtype)
        self.gradient_norm: Array = np.zeros(rows)

    def forget(self, row: int) -> None:
        """Reset `row`, in place."""
        self.silence[row] = 0
        self.gradient[row] = 0
        self.gradient_norm[row] = 0

    def move(self, source: int, target: int) -> None:
        """Copy the history of row `source` to row `target`, in place."""
        self.silence[target] = self.silence[source]
        self.gradient[target] = self.gradient[source]
        self.gradient_norm[target] = self.gradient_norm[source]


SILENT_EXAMPLES: Final = 1000
"""A unit that has not fired for this many examples fires for less than 0.3 % of them, at 95 % (rule of three)."""

SMALLEST_SAFE_SQUARE: Final = 1e-30
"""Below it the squares of a float32 matrix, which end at 1e-45, may be missing from their sum."""

SMALLEST_SCALE: Final = 1e-300
"""Replaces a learning rate that is 0 in the network's precision as the divisor of a gradient."""

FLAT: Final[Mapping[str, tuple[float, float]]] = {
    "sigmoid": (1 / (1 + math.exp(5.0)), 1 / (1 + math.exp(-5.0))),
    "tanh": (math.tanh(-2.5), math.tanh(2.5)),
    "elu": (math.expm1(-5.0), math.inf),
    "selu": (SELU_SCALE * SELU_ALPHA * math.expm1(-5.0), math.inf),
}
"""The flat parts of an activation: below the first and above the second value of the activation itself.

|z| > 5 for sigmoid and |z| > 2.5 for tanh, with a derivative below 0.7 % and 2.7 %, and z < -5 for ELU and SELU.
"""

FLAT_SLOPE: Final = math.exp(-5.0)
"""The flat part of a gate: its slope, of either sign, is below that of ELU at z = -5."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ForwardStatistics:
    """Statistics of a forward pass for k trials: vectors (k,), and (k, L) for the L hidden layers.

    `activity` (k, B) is the squared norm of the output layer's input for each example of the minibatch. `losses` (k,)
    are the mean losses of the sample's examples if they are not the minibatch's.
    """

    logit_max: Array
    output_range: Array
    accuracy: Array
    top_share: Array
    dead_shares: Array
    silent_shares: Array
    saturated_shares: Array
    activity: Array
    losses: Array | None = None


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class SamplingContext:
    """The fixed data of a sampler: its network, whether that `classifies`, its activation's `FLAT` bounds."""

    network: Network
    classifies: bool
    flat: tuple[float, float] | None


def measure_forward(
    context: SamplingContext, part: Lane, history: RowHistory, kept: Array
) -> ForwardStatistics:
    """Measure the buffers of a forward pass for a part of a lane before the loss overwrites the logits.

    A unit fires by its own activation, inside the branch of a block with a skip, and not by the sum with its inputs.
    `kept` (k,) are the shares of units that dropout keeps. Updates `history.silence`, in place.
    """
    blocks = part.batch.blocks
    hidden, z = [block.y for block in blocks[:-1]], blocks[-1].y
    highest, lowest = z.max(axis=1), z.min(axis=1)
    fires = [y.max(axis=1) > 0 for y in hidden]
    last = blocks[-2].output if hidden else part.batch.x
    accuracy, top_share = _answers(z, part.batch.t) if context.classifies else _no_answers(len(z))
    dead = [1 - fire.mean(axis=1) for fire in fires]
    flat = _flat_shares(context, blocks[:-1], kept)
    return ForwardStatistics(
        logit_max=np.maximum(highest, -lowest).max(axis=1),
        output_range=(highest - lowest).max(axis=1),
        accuracy=accuracy,
        top_share=top_share,
        dead_shares=_as_columns(dead, len(z)),
        silent_shares=_silent_shares(history.silence[part.start : part.stop], fires, examples=z.shape[1]),
        saturated_shares=_as_columns(flat, len(z)) if flat else np.zeros((len(z), len(fires))),
        activity=np.vecdot(last, last),
    )


def _as_columns(columns: Sequence[Array], rows: int) -> Array:
    """Return vectors (k,) as columns; (k, 0) if there are none."""
    return np.stack(columns, axis=1) if columns else np.zeros((rows, 0))


def _no_answers(rows: int) -> tuple[Array, Array]:
    return np.full(rows, np.nan), np.full(rows, np.nan)


def _answers(z: Array, t: Array) -> tuple[Array, Array]:
    """Return the shares of right answers and of the most frequent answer, (k,) each.

    Outputs that tie for the largest share the credit, and each counts as an answer.
    """
    if z.shape[2] == 1:
        answers = z[:, :, 0] > 0
        share = answers.mean(axis=1)
        return (answers == (t[:, :, 0] > 0.5)).mean(axis=1), np.maximum(share, 1 - share)
    is_top = z == z.max(axis=2, keepdims=True)
    hits = (is_top * t).sum(axis=2) / is_top.sum(axis=2)
    return hits.mean(axis=1), is_top.mean(axis=1).max(axis=1)


def _silent_shares(silence: NDArray[np.int32], fires: Sequence[Array], *, examples: int) -> Array:
    """Return the shares of long silent units (k, L), counting this sample in `silence` (k, U), in place."""
    if not fires:
        return np.zeros((len(silence), 0))
    fired = np.concatenate(fires, axis=1) if len(fires) > 1 else fires[0]
    silence += examples
    silence[fired] = 0
    is_silent = silence >= SILENT_EXAMPLES
    if not is_silent.any():
        return np.zeros((len(silence), len(fires)))
    stops = list(itertools.accumulate(fire.shape[1] for fire in fires))
    parts = zip([0, *stops], stops, strict=False)
    return np.stack([is_silent[:, start:stop].mean(axis=1) for start, stop in parts], axis=1)


def _flat_shares(context: SamplingContext, hidden: Sequence[BlockBuffers], kept: Array) -> list[Array]:
    """Return the shares (k,) of each hidden block's activations on a flat part; none if there is no such part."""
    if any(buffers.slope is not None for buffers in hidden):
        slopes = [buffers.slope for buffers in hidden if buffers.slope is not None]
        return [(np.abs(slope) < FLAT_SLOPE).mean(axis=(1, 2)) for slope in slopes]
    if context.flat is None:
        return []
    return [
        _flat_share(buffers.y, buffers.mask, context.flat, kept)
        if block.dropout == "after_activation"
        else _flat_share(buffers.y, None, context.flat, np.ones_like(kept))
        for block, buffers in zip(context.network.blocks, hidden, strict=False)
    ]


def _flat_share(y: Array, mask: Array | None, flat: tuple[float, float], kept: Array) -> Array:
    """Return the shares (k,) of a block's activations `y` on a flat part, among those that dropout's `mask` kept.

    Dropout multiplies kept activations by 1 / kept, so the bounds too.
    """
    scale = 1 / kept[:, None, None]
    low, high = ((bound * scale).astype(y.dtype) for bound in flat)
    is_flat = y < low
    if mask is not None:
        is_flat &= mask != 0
    if flat[1] < math.inf:
        is_flat |= y > high
    share: Array = is_flat.mean(axis=(1, 2)) / kept
    return share


def layer_norms(flat: Array, columns: Sequence[slice]) -> Array:
    """Return the Euclidean norms (k, L), float64, of the given columns of `flat` (k, P).

    Sums of squares that may be too small for float32's range, as with vanishing gradients, are repeated in float64.
    """
    squares = np.empty((len(flat), len(columns)))
    for layer, place in enumerate(columns):
        np.vecdot(part := flat[:, place], part, out=squares[:, layer], casting="unsafe")
    if not (squares.min() >= SMALLEST_SAFE_SQUARE and squares.max() < np.inf):
        for row, layer in np.argwhere(~((squares >= SMALLEST_SAFE_SQUARE) & (squares < np.inf))):
            wide = flat[row, columns[layer]].astype(np.float64)
            squares[row, layer] = np.vecdot(wide, wide)
    norms: Array = np.sqrt(squares, out=squares)
    return norms


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class BackwardStatistics:
    """Statistics of a backward pass for k trials, and the data for a comparison with the next update.

    `gradient_norms` and `weight_norms` (k, L), of the weight matrices; `cosine` and `coherence` (k,), of the output
    layer's gradient; `gradient` and `before` (k, P) are copies. Gradients are those of the mean loss multiplied by
    `scales` (k,), float64.
    """

    gradient_norms: Array
    weight_norms: Array
    cosine: Array
    coherence: Array
    gradient: Array
    before: Array
    scales: Array


def measure_backward(
    context: SamplingContext, part: Lane, history: RowHistory, *, activity: Array, scales: Array
) -> BackwardStatistics:
    """Measure the gradients of a part of a lane before the optimizer overwrites them. Update `history`, in place.

    `scales` (k,) are the factors of each example's gradient; `activity` is `ForwardStatistics`'s.
    """
    examples, columns = part.batch.ones.shape[1], context.network.weight_columns
    norms = layer_norms(part.gradient, columns)
    own = norms[:, -1]
    delta = part.batch.logits.astype(np.float64)
    per_example = np.vecdot(np.multiply(delta, delta, out=delta).sum(axis=2), activity)
    here = slice(part.start, part.stop)
    products = _gradient_products(history.gradient[here], part.gradient[:, columns[-1]])
    cosine = _ratios(products, own * history.gradient_norm[here])
    history.gradient_norm[here] = own
    return BackwardStatistics(
        gradient_norms=norms,
        weight_norms=layer_norms(part.parameters, columns),
        cosine=cosine,
        coherence=_ratios(own * own, per_example),
        gradient=part.gradient.copy(),
        before=part.parameters.copy(),
        scales=np.maximum(scales.astype(np.float64), SMALLEST_SCALE) * examples,
    )


def _gradient_products(remembered: Array, now: Array) -> Array:
    """Return the products (k,), float64, of `remembered` (k, H C) with `now`, and remember the latter, in place."""
    product: Array = np.vecdot(remembered.astype(np.float64), now)
    remembered[...] = now
    return product


def _ratios(numerators: Array, denominators: Array) -> Array:
    """Return the quotients (k,), NaN if a denominator is not above 0."""
    ratios = np.full(len(numerators), np.nan)
    np.divide(numerators, denominators, out=ratios, where=denominators > 0)
    return ratios


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class UpdateStatistics:
    """Effects of an update on k trials: `predicted_decrease` (k,) in the gradient's scale, `update_norms` (k, L).

    `actual_decrease` and `evaluation_loss` (k,) are NaN if the sample is no probe.
    """

    predicted_decrease: Array
    update_norms: Array
    actual_decrease: Array
    evaluation_loss: Array


def measure_update(
    context: SamplingContext, part: Lane, backward: BackwardStatistics, *, losses: Array, probes: bool
) -> UpdateStatistics:
    """Measure the effect of the update on a part of a lane whose minibatch losses were `losses` (k,).

    A probe runs the network again on the same minibatches, with the same dropout, and restores its running statistics.
    It overwrites `backward` and the part's buffers.
    """
    np.subtract(backward.before, part.parameters, out=backward.before)
    nothing = np.full(len(losses), np.nan)
    actual, evaluation = _probe(context.network, part, losses) if probes else (nothing, nothing)
    return UpdateStatistics(
        predicted_decrease=np.vecdot(backward.gradient, backward.before).astype(np.float64),
        update_norms=layer_norms(backward.before, context.network.weight_columns),
        actual_decrease=actual,
        evaluation_loss=evaluation,
    )


def _probe(network: Network, part: Lane, losses: Array) -> tuple[Array, Array]:
    """Return the decrease of the losses (k,) by the update, and the losses in evaluation mode (k,)."""
    running = part.running.copy()
    network.forward(part.parameter_views, part.batch)
    part.running[...] = running
    decrease: Array = losses - mean_losses(network, part)
    if not any(block.norm or block.dropout for block in network.blocks):
        return decrease, np.full(len(losses), np.nan)
    network.evaluate(part.parameter_views, part.batch)
    return decrease, mean_losses(network, part)


def mean_losses(network: Network, part: Lane, weights: Array | None = None) -> Array:
    """Return the mean losses (k,), float64, of the logits in the part's buffers, which become outputs, in place.

    `weights` (k, B) or (1, B) multiply the losses of the examples.
    """
    losses = network.loss.evaluate(part.batch.logits, part.batch.t, part.output_scratch)
    if weights is not None:
        losses = losses * weights
    means: Array = losses.sum(axis=1).astype(np.float64) / losses.shape[1]
    return means


def first_nonfinite(lane: Lane, row: int, step: int) -> NonFinite:
    """Return the first array of a lane's trial with a NaN or an infinity, if its loss is not finite.

    Call it between the forward pass and the backward pass. The loss overwrites the logits, so they are computed again
    from the last hidden layer.
    """
    blocks, parameters = lane.batch.blocks, lane.parameter_views[-1]
    below = blocks[-2].output[row] if len(blocks) > 1 else lane.batch.x[min(row, len(lane.batch.x) - 1)]
    candidates = [
        ("weights", lane.parameters[row]),
        *(("activations", block.y[row]) for block in blocks[:-1]),
        ("logits", below @ parameters.w[row] + parameters.b[row]),
    ]
    for name, array in candidates:
        if not np.isfinite(array).all():
            return NonFinite(step=step, array=name)
    return NonFinite(step=step, array="loss")
