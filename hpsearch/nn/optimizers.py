"""Optimizers: pure descriptions; parameters, gradients and states are flat arrays (K, P) that they update in place.

Weight decay is the L2 penalty 0.5 wd ||W||^2 of weight matrices only, which are the first D of the P columns; AdamW
alone decays apart from the gradient. Learning rates, decays and momenta are one number per trial, (K, 1).

An optimizer whose update is linear in the gradient may request it multiplied by the learning rate
(`folds_learning_rate`): the factor is then applied to the small output delta instead of in a pass over all parameters.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from hpsearch.nn.arrays import Array


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Rates:
    """Hyper-parameters of K trials, each (K, 1).

    `age` (float64) is the number of earlier steps of a trial. `decays` is False if every weight decay is 0, so that its
    passes can be skipped; `all_decay` is True if none is.
    """

    learning_rate: Array
    weight_decay: Array
    momentum: Array
    age: Array
    decays: bool
    all_decay: bool


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """The arrays of one update, all (K, P): `decayed` is the number of leading columns that are weights."""

    parameters: Array
    gradient: Array
    states: Sequence[Array]
    scratch: Array
    decayed: int


class Optimizer(ABC):
    """One step for K trials at once. States start at 0."""

    states: ClassVar[int]
    folds_learning_rate: ClassVar[bool] = False

    @abstractmethod
    def update(self, step: Step, rates: Rates) -> None:
        """Change `step.parameters` and `step.states`, in place; `step.gradient` and the scratch are overwritten."""


@final
@dataclass(frozen=True, slots=True)
class SGD(Optimizer):
    """w <- w - lr (g + wd w)."""

    states = 0
    folds_learning_rate = True

    def update(self, step: Step, rates: Rates) -> None:
        """Shrink the weights by 1 - lr wd, then subtract the folded gradient, in place."""
        _shrink(step, rates)
        np.subtract(step.parameters, step.gradient, out=step.parameters)


@final
@dataclass(frozen=True, slots=True)
class Momentum(Optimizer):
    """v <- mu v + lr (g + wd w); w <- w - v (Polyak 1964; Sutskever et al. 2013, equations 1 and 2)."""

    states = 1
    folds_learning_rate = True

    def update(self, step: Step, rates: Rates) -> None:
        """Move by the velocity, in place."""
        (velocity,) = step.states
        _add_decay(step, rates, rates.learning_rate * rates.weight_decay)
        np.multiply(velocity, rates.momentum, out=velocity)
        np.add(velocity, step.gradient, out=velocity)
        np.subtract(step.parameters, velocity, out=step.parameters)


@final
@dataclass(frozen=True, slots=True)
class Nesterov(Optimizer):
    """v <- mu v + lr (g + wd w); w <- w - (mu v + lr (g + wd w)).

    Nesterov's accelerated gradient in the form of Bengio et al. 2012, "Advances in optimizing recurrent
    networks", equation 7, whose parameters are already moved ahead.
    """

    states = 1
    folds_learning_rate = True

    def update(self, step: Step, rates: Rates) -> None:
        """Move by the velocity that the next step would have, in place."""
        (velocity,) = step.states
        _add_decay(step, rates, rates.learning_rate * rates.weight_decay)
        np.multiply(velocity, rates.momentum, out=velocity)
        np.add(velocity, step.gradient, out=velocity)
        np.multiply(velocity, rates.momentum, out=step.scratch)
        np.add(step.gradient, step.scratch, out=step.gradient)
        np.subtract(step.parameters, step.gradient, out=step.parameters)


@final
@dataclass(frozen=True, slots=True)
class Adagrad(Optimizer):
    """s <- s + g^2; w <- w - lr g / (sqrt(s) + epsilon) (Duchi et al. 2011, section 1.1, diagonal)."""

    states = 1
    epsilon: float = 1e-7

    def update(self, step: Step, rates: Rates) -> None:
        """Move by the gradient scaled with the root of its summed squares, in place."""
        (squares,) = step.states
        _add_decay(step, rates, rates.weight_decay)
        np.multiply(step.gradient, step.gradient, out=step.scratch)
        np.add(squares, step.scratch, out=squares)
        _descend(step, rates.learning_rate, step.gradient, squares, epsilon=self.epsilon)


@final
@dataclass(frozen=True, slots=True)
class RMSprop(Optimizer):
    """s <- rho s + (1 - rho) g^2; w <- w - lr g / (sqrt(s) + epsilon) (Tieleman and Hinton 2012, lecture 6.5)."""

    states = 1
    rho: float = 0.9
    epsilon: float = 1e-7

    def update(self, step: Step, rates: Rates) -> None:
        """Move by the gradient scaled with the root of its mean square, in place."""
        (squares,) = step.states
        _add_decay(step, rates, rates.weight_decay)
        _average_square(squares, step, self.rho)
        _descend(step, rates.learning_rate, step.gradient, squares, epsilon=self.epsilon)


@final
@dataclass(frozen=True, slots=True)
class Adam(Optimizer):
    """Adam (Kingma and Ba 2015, algorithm 1). With `decoupled` weight decay it is AdamW.

    AdamW (Loshchilov and Hutter 2019, algorithm 2) shrinks the weights by 1 - lr wd and leaves the gradient unchanged.
    """

    states = 2
    decoupled: bool = False
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def update(self, step: Step, rates: Rates) -> None:
        """Move by the bias-corrected ratio of the gradient's first two moments, in place."""
        mean, squares = step.states
        if self.decoupled:
            _shrink(step, rates)
        else:
            _add_decay(step, rates, rates.weight_decay)
        _average_square(squares, step, self.beta2)
        np.multiply(mean, self.beta1, out=mean)
        np.multiply(step.gradient, 1 - self.beta1, out=step.gradient)
        np.add(mean, step.gradient, out=mean)
        first = 1 - self.beta1 ** (rates.age + 1)
        second = np.sqrt(1 - self.beta2 ** (rates.age + 1))
        # lr (m / first) / (sqrt(s) / second + epsilon), with the corrections moved to one number per trial
        rate = rates.learning_rate * (second / first).astype(mean.dtype)
        _descend(step, rate, mean, squares, epsilon=(self.epsilon * second).astype(mean.dtype))


def _shrink(step: Step, rates: Rates) -> None:
    """Multiply the weights by 1 - lr wd, in place. If no trial decays, leave them unchanged."""
    if rates.decays:
        weights = step.parameters[:, : step.decayed]
        np.multiply(weights, 1 - rates.learning_rate * rates.weight_decay, out=weights)


def _add_decay(step: Step, rates: Rates, factor: Array) -> None:
    """Add `factor` (K, 1) times the weights to their gradient, in place.

    A trial without weight decay keeps its gradient to the bit, as it does alone: 0 times an infinite weight is NaN.
    """
    if rates.decays:
        penalty = step.scratch[:, : step.decayed]
        gradient = step.gradient[:, : step.decayed]
        np.multiply(step.parameters[:, : step.decayed], factor, out=penalty)
        np.add(gradient, penalty, out=gradient, where=rates.all_decay or rates.weight_decay != 0)


def _average_square(squares: Array, step: Step, rho: float) -> None:
    """Move `squares` towards the gradient's square by 1 - rho, in place."""
    np.multiply(squares, rho, out=squares)
    np.multiply(step.gradient, step.gradient, out=step.scratch)
    np.multiply(step.scratch, 1 - rho, out=step.scratch)
    np.add(squares, step.scratch, out=squares)


def _descend(step: Step, rate: Array, direction: Array, squares: Array, *, epsilon: Array | float) -> None:
    """Subtract rate direction / (sqrt(squares) + epsilon) from the parameters, in place."""
    np.sqrt(squares, out=step.scratch)
    np.add(step.scratch, epsilon, out=step.scratch)
    np.divide(direction, step.scratch, out=step.scratch)
    np.multiply(step.scratch, rate, out=step.scratch)
    np.subtract(step.parameters, step.scratch, out=step.parameters)


OPTIMIZERS: Mapping[str, Optimizer] = {
    "sgd": SGD(),
    "momentum": Momentum(),
    "nesterov": Nesterov(),
    "adagrad": Adagrad(),
    "rmsprop": RMSprop(),
    "adam": Adam(),
    "adamw": Adam(decoupled=True),
}
"""Every optimizer by its name in a study file."""
