"""A multilayer perceptron for K trials at once: the layout of its arrays, forward and backward.

The network is a frozen description. Parameters, gradients and optimizer states are flat arrays (K, P), weights first;
the caller that trains owns them and the buffers of a minibatch, and passes slices of both.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np

from hpsearch.nn.activations import ACTIVATIONS, GATES, Activation, Gate
from hpsearch.nn.arrays import Array
from hpsearch.nn.initializers import draw_weights
from hpsearch.nn.layers import BatchNorm, Dense, Normalization
from hpsearch.nn.losses import Loss, LossName, loss_for
from hpsearch.study.spec import DropoutPosition, Initializer, ModelSpec


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """One dense layer with its next operations: y = f(norm(x w + b)). The output block is the dense layer alone.

    `dropout` is the place of dropout, y or x w + b, None without it; `kept` is the factor there in evaluation. With
    `skip` the block gives x + y, an identity shortcut around the branch (He et al. 2016, "Identity mappings in deep
    residual networks", equation 1, with nothing after the sum). Dropout stays inside the branch (Zagoruyko and
    Komodakis 2016, section 2.4): on the shortcut it would shrink the signal once more with every layer (He et al.,
    section 3.1).
    """

    dense: Dense
    norm: BatchNorm | None = None
    activation: Activation | Gate | None = None
    dropout: DropoutPosition | None = None
    kept: float = 1.0
    skip: bool = False

    @property
    def has_slope(self) -> bool:
        """True if the activation's derivative must be kept from the forward pass."""
        return isinstance(self.activation, Gate)

    @property
    def is_affine(self) -> bool:
        """True if the block's normalization has gamma and beta."""
        return self.norm is not None and self.norm.affine


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class BlockParameters:
    """Views of one block's parameters, or of their gradients: w (K, I, O), b, gamma and beta (K, O)."""

    w: Array
    b: Array
    gamma: Array | None = None
    beta: Array | None = None


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class BlockBuffers:
    """The outputs of one block for one minibatch.

    `y` (K, B, O) are the activations (the logits, in the output block); `scratch` is free for any use. `mask` (K, B, O)
    is dropout's, `kept` batch normalization's, `slope` (K, B, O) a gate's derivative, `total` (K, B, O) the sum with a
    skip's inputs. `dy` (K, B, O) are the gradients of `output`.
    """

    y: Array
    dy: Array
    scratch: Array
    mask: Array | None = None
    kept: Normalization | None = None
    slope: Array | None = None
    total: Array | None = None

    @property
    def output(self) -> Array:
        """The input of the next block (K, B, O)."""
        return self.y if self.total is None else self.total


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """The buffers of one minibatch: inputs `x` (K or 1, B, I), targets `t` (K or 1, B, C), and each block's.

    With `groups`, `x` is (M, B, I): the rows `groups[m]` see its minibatch m. Networks without hidden layers have none.
    `ones` is (1, B). `running` are the statistics of normalized blocks, which training changes.
    """

    x: Array
    t: Array
    ones: Array
    blocks: tuple[BlockBuffers, ...]
    running: tuple[tuple[Array, Array] | None, ...]
    groups: tuple[slice, ...] = ()

    @property
    def logits(self) -> Array:
        """The output block's `y` (K, B, C)."""
        return self.blocks[-1].y


@final
@dataclass(frozen=True, kw_only=True)
class Network:
    """Blocks from inputs to logits, and the loss after them."""

    blocks: tuple[Block, ...]
    loss: Loss

    @cached_property
    def weights(self) -> int:
        """D: the number of elements of all weight matrices of one trial, the first of its P parameters."""
        return sum(block.dense.inputs * block.dense.outputs for block in self.blocks)

    @cached_property
    def weight_columns(self) -> tuple[slice, ...]:
        """The columns of each block's weight matrix among the P parameters of a trial."""
        sizes = [block.dense.inputs * block.dense.outputs for block in self.blocks]
        stops = list(itertools.accumulate(sizes))
        return tuple(slice(stop - size, stop) for size, stop in zip(sizes, stops, strict=True))

    @cached_property
    def parameters(self) -> int:
        """P: the number of parameters of one trial."""
        vectors = sum(block.dense.outputs * (3 if block.is_affine else 1) for block in self.blocks)
        return self.weights + vectors

    @cached_property
    def statistics(self) -> int:
        """S: the number of running statistics of one trial, 0 without batch normalization."""
        return sum(2 * block.norm.units for block in self.blocks if block.norm is not None)

    def views(self, flat: Array) -> tuple[BlockParameters, ...]:
        """Return views of `flat` (K, P): all weight matrices, then each block's b, gamma and beta."""
        cut = _Cut(flat)
        weights = [cut.take(block.dense.inputs, block.dense.outputs) for block in self.blocks]
        vectors = [
            [cut.take(block.dense.outputs) for _ in range(3 if block.is_affine else 1)]
            for block in self.blocks
        ]
        return tuple(
            BlockParameters(w=w, b=rest[0], gamma=rest[1], beta=rest[2])
            if len(rest) > 1
            else BlockParameters(w=w, b=rest[0])
            for w, rest in zip(weights, vectors, strict=True)
        )

    def running_views(self, flat: Array) -> tuple[tuple[Array, Array] | None, ...]:
        """Return views of the running statistics `flat` (K, S): each normalized block's mean and variance (K, O)."""
        cut = _Cut(flat)
        return tuple(
            None if block.norm is None else (cut.take(block.norm.units), cut.take(block.norm.units))
            for block in self.blocks
        )

    def initialize(
        self, flat: Array, running: Array, initializer: Initializer, generator: np.random.Generator
    ) -> None:
        """Fill one trial's parameters `flat` (P,) and running statistics (S,), in place."""
        flat[:] = 0
        for block in self.views(flat[None]):
            draw_weights(initializer, block.w[0], generator)
            if block.gamma is not None:
                block.gamma[:] = 1
        for statistics in self.running_views(running[None]):
            if statistics is not None:
                statistics[0][:] = 0
                statistics[1][:] = 1

    def forward(self, parameters: Sequence[BlockParameters], batch: Batch) -> None:
        """Write activations and logits of one training pass into `batch`, in place. Masks are drawn already."""
        x, groups = batch.x, batch.groups
        for block, p, buffers, running in zip(
            self.blocks, parameters, batch.blocks, batch.running, strict=True
        ):
            block.dense.forward(p.w, p.b, x, buffers.y, groups=groups)
            _drop(block, buffers, buffers.y, at="before_normalization")
            if block.norm is not None and buffers.kept is not None and running is not None:
                block.norm.forward(buffers.y, buffers.kept, running, ones=batch.ones, scratch=buffers.scratch)
            _finish(block, p, buffers)
            _drop(block, buffers, buffers.y, at="after_activation")
            if buffers.total is not None:
                np.add(buffers.y, x, out=buffers.total)
            x, groups = buffers.output, ()

    def evaluate(self, parameters: Sequence[BlockParameters], batch: Batch) -> None:
        """Write activations and logits in evaluation mode into `batch`, in place: no masks, running statistics."""
        x, groups = batch.x, batch.groups
        for block, p, buffers, running in zip(
            self.blocks, parameters, batch.blocks, batch.running, strict=True
        ):
            block.dense.forward(p.w, p.b, x, buffers.y, groups=groups)
            _shrink(block, buffers.y, at="before_normalization")
            if block.norm is not None and running is not None:
                block.norm.evaluate(buffers.y, running)
            _finish(block, p, buffers)
            _shrink(block, buffers.y, at="after_activation")
            if buffers.total is not None:
                np.add(buffers.y, x, out=buffers.total)
            x, groups = buffers.output, ()

    def backward(
        self, parameters: Sequence[BlockParameters], gradients: Sequence[BlockParameters], batch: Batch
    ) -> None:
        """Write the gradients of sum over B of the losses into `gradients`, in place.

        The output block's `y` holds dL/dz (K, B, C), in any scale: gradients scale with it.
        """
        last = len(self.blocks) - 1
        for i in range(last, -1, -1):
            block, buffers = self.blocks[i], batch.blocks[i]
            dy = buffers.y if i == last else buffers.dy
            below = batch.blocks[i - 1] if i else None
            if below is not None and block.skip:
                np.copyto(below.dy, dy)
            if i < last:
                _differentiate(block, parameters[i], gradients[i], buffers, ones=batch.ones)
            x, groups = (batch.x, batch.groups) if below is None else (below.output, ())
            block.dense.backward((gradients[i].w, gradients[i].b), x, dy, batch.ones, groups=groups)
            if below is not None:
                dx = below.scratch if block.skip else below.dy
                block.dense.backward_input(parameters[i].w, dy, dx)
                if block.skip:
                    np.add(below.dy, dx, out=below.dy)


def build_network(model: ModelSpec, *, inputs: int, outputs: int) -> Network:
    """Return the network of `model` between that many inputs and outputs. `model.loss` is not "auto"."""
    if model.loss == "auto":
        raise ValueError('model.loss must be resolved before a network is built (got "auto")')
    widths = (inputs, *model.hidden)
    hidden = tuple(_hidden_block(model, layer, inputs=widths[layer]) for layer in range(len(model.hidden)))
    output = Block(dense=Dense(inputs=widths[-1], outputs=outputs))
    name: LossName = model.loss
    return Network(blocks=(*hidden, output), loss=loss_for(name, model.output))


def _hidden_block(model: ModelSpec, layer: int, *, inputs: int) -> Block:
    """Return the block of hidden layer `layer`, counted from 0."""
    width = model.hidden[layer]
    has_dropout = model.dropout > 0 and (model.dropout_layers == "all" or layer == len(model.hidden) - 1)
    return Block(
        dense=Dense(inputs=inputs, outputs=width),
        norm=_normalization(model, width) if model.batch_norm else None,
        activation=ACTIVATIONS.get(model.activation) or GATES[model.activation],
        dropout=model.dropout_position if has_dropout else None,
        kept=1 - model.dropout if has_dropout and model.dropout_scaling == "evaluation" else 1.0,
        skip=model.skips[layer],
    )


def _normalization(model: ModelSpec, width: int) -> BatchNorm:
    return BatchNorm(units=width, affine=model.batch_norm_affine, epsilon=model.batch_norm_epsilon)


def _drop(block: Block, buffers: BlockBuffers, values: Array, *, at: DropoutPosition) -> None:
    """Multiply `values` (K, B, O) by the block's mask, in place, if its dropout acts `at` that place."""
    if buffers.mask is not None and block.dropout == at:
        np.multiply(values, buffers.mask, out=values)


def _shrink(block: Block, values: Array, *, at: DropoutPosition) -> None:
    """Multiply `values` (K, B, O) by the block's `kept`, in place, if its dropout acts `at` that place."""
    if block.kept < 1 and block.dropout == at:
        np.multiply(values, block.kept, out=values)


def _finish(block: Block, p: BlockParameters, buffers: BlockBuffers) -> None:
    """Apply gamma, beta and the activation to the block's `y`, in place."""
    if block.norm is not None and p.gamma is not None and p.beta is not None:
        block.norm.scale(p.gamma, p.beta, buffers.y)
    if isinstance(block.activation, Gate):
        block.activation.apply(buffers.y, buffers.scratch, buffers.slope)
    elif block.activation is not None:
        block.activation.apply(buffers.y, buffers.scratch)


def _differentiate(
    block: Block, p: BlockParameters, gradient: BlockParameters, buffers: BlockBuffers, *, ones: Array
) -> None:
    """Turn a hidden block's `dy` = dL/dy into dL/d(x w + b), in place, and write the gradients of gamma and beta."""
    dy = buffers.dy
    _drop(block, buffers, dy, at="after_activation")
    if buffers.mask is not None and block.dropout == "after_activation":
        # y was multiplied by the mask; where that is 0, dy is 0 too, so any finite activation is valid
        np.divide(buffers.y, buffers.mask, out=buffers.y, where=buffers.mask != 0)
    if buffers.slope is not None:
        np.multiply(dy, buffers.slope, out=dy)
    elif isinstance(block.activation, Activation):
        block.activation.differentiate(buffers.y, dy, buffers.scratch)
    if block.norm is not None and buffers.kept is not None:
        _differentiate_norm(block.norm, buffers.kept, (p, gradient), buffers, ones=ones)
    _drop(block, buffers, dy, at="before_normalization")


def _differentiate_norm(
    norm: BatchNorm,
    kept: Normalization,
    parameters: tuple[BlockParameters, BlockParameters],
    buffers: BlockBuffers,
    *,
    ones: Array,
) -> None:
    """Turn `dy` after a block's normalization into that of its input, in place; write gradients of gamma and beta.

    `parameters` are the block's own and their gradients.
    """
    (p, gradient), dy, scratch = parameters, buffers.dy, buffers.scratch
    if p.gamma is not None and gradient.gamma is not None and gradient.beta is not None:
        norm.backward_scale((gradient.gamma, gradient.beta), dy, kept.xhat, ones=ones, scratch=scratch)
        np.multiply(dy, p.gamma[:, None, :], out=dy)
    norm.backward(dy, kept, ones=ones, scratch=scratch)


@final
class _Cut:
    """A reader of consecutive pieces of the columns of a flat array (K, P), as views."""

    def __init__(self, flat: Array) -> None:
        self._flat = flat
        self._start = 0

    def take(self, *shape: int) -> Array:
        """Return the next piece as a view (K, *shape)."""
        stop = self._start + int(np.prod(shape))
        piece = self._flat[:, self._start : stop].reshape(len(self._flat), *shape)
        self._start = stop
        return piece
