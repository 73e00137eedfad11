"""One contract that every optimizer passes: its paper's formula, trial by trial."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, final

import numpy as np
import pytest

from hpsearch.nn.arrays import Array
from hpsearch.nn.optimizers import OPTIMIZERS, Optimizer, Rates, Step

K, P, DECAYED = 4, 7, 5
NAMES = sorted(OPTIMIZERS)

LEARNING_RATES = np.array([0.1, 0.01, 0.5, 0.03])
MOMENTA = np.array([0.9, 0.5, 0.0, 0.99])
DECAYS = np.array([0.1, 0.001, 0.2, 0.05])

Memory = list[float]


@final
class At(NamedTuple):
    """Learning rate, momentum, and the number of the step, from 1."""

    lr: float
    mu: float
    t: int


Formula = Callable[[float, float, At, Memory], float]


def sgd(w: float, g: float, at: At, memory: Memory) -> float:
    """Return the next weight of plain gradient descent."""
    return w - at.lr * g


def momentum(w: float, g: float, at: At, memory: Memory) -> float:
    """Sutskever et al. 2013, equations 1 and 2, with the opposite sign of the velocity."""
    memory[0] = at.mu * memory[0] - at.lr * g
    return w + memory[0]


def nesterov(w: float, g: float, at: At, memory: Memory) -> float:
    """Bengio et al. 2012, equation 7."""
    memory[0] = at.mu * memory[0] - at.lr * g
    return w + at.mu * memory[0] - at.lr * g


def adagrad(w: float, g: float, at: At, memory: Memory) -> float:
    """Duchi et al. 2011, with the diagonal."""
    memory[0] += g * g
    return w - at.lr * g / (math.sqrt(memory[0]) + 1e-7)


def rmsprop(w: float, g: float, at: At, memory: Memory) -> float:
    """Tieleman and Hinton 2012."""
    memory[0] = 0.9 * memory[0] + 0.1 * g * g
    return w - at.lr * g / (math.sqrt(memory[0]) + 1e-7)


def adam(w: float, g: float, at: At, memory: Memory) -> float:
    """Kingma and Ba 2015, algorithm 1."""
    memory[0] = 0.9 * memory[0] + 0.1 * g
    memory[1] = 0.999 * memory[1] + 0.001 * g * g
    first, second = memory[0] / (1 - 0.9**at.t), memory[1] / (1 - 0.999**at.t)
    return w - at.lr * first / (math.sqrt(second) + 1e-8)


FORMULAE: dict[str, Formula] = {
    "sgd": sgd,
    "momentum": momentum,
    "nesterov": nesterov,
    "adagrad": adagrad,
    "rmsprop": rmsprop,
    "adam": adam,
    "adamw": adam,
}


def gradients(steps: int) -> Array:
    """Return the gradients (steps, K, P) of made-up steps."""
    return np.random.default_rng(2).standard_normal((steps, K, P))


def start() -> Array:
    """Return the initial parameters (K, P) of every run."""
    return np.random.default_rng(1).standard_normal((K, P))


def run(
    optimizer: Optimizer,
    parameters: Array,
    course: Array,
    *,
    rows: slice = slice(None),
    decays: Array = DECAYS,
    skips_decay: bool = True,
) -> Array:
    """Return the parameters after one step per gradient of `course` (steps, K, P), of `rows` alone."""
    dtype = parameters.dtype
    parameters = parameters[rows].copy()
    states = [np.zeros_like(parameters) for _ in range(optimizer.states)]
    learning_rate, decay, mu = (
        array[rows, None].astype(dtype) for array in (LEARNING_RATES, decays, MOMENTA)
    )
    for age, gradient in enumerate(course[:, rows].astype(dtype)):
        factor = learning_rate if optimizer.folds_learning_rate else dtype.type(1)
        step = Step(
            parameters=parameters,
            gradient=factor * gradient,
            states=states,
            scratch=np.full_like(parameters, np.nan),
            decayed=DECAYED,
        )
        rates = Rates(
            learning_rate=learning_rate,
            weight_decay=decay,
            momentum=mu,
            age=np.full((len(parameters), 1), float(age)),
            decays=bool(decay.any()) or not skips_decay,
            all_decay=bool(decay.all()) or not skips_decay,
        )
        with np.errstate(all="ignore"):
            optimizer.update(step, rates)
    return parameters


def reference(name: str, row: int, column: int, course: Sequence[float], decay: float) -> float:
    """Return one parameter after the steps of `course`, number by number in float64."""
    w, memory = float(start()[row, column]), [0.0, 0.0]
    lr, mu = float(LEARNING_RATES[row]), float(MOMENTA[row])
    wd = decay if column < DECAYED else 0.0
    for t, gradient in enumerate(course, start=1):
        penalized = gradient
        if name == "adamw":
            w -= lr * wd * w
        else:
            penalized += wd * w
        w = FORMULAE[name](w, penalized, At(lr, mu, t), memory)
    return w


def test_every_optimizer_has_a_formula() -> None:
    """The contract covers every optimizer."""
    assert set(FORMULAE) == set(OPTIMIZERS)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 2e-5)])
@pytest.mark.parametrize("name", NAMES)
def test_five_steps_are_the_papers(name: str, dtype: type[np.floating], tolerance: float) -> None:
    """Five steps with weight decay equal the paper's formula, number by number."""
    course = gradients(5)
    after = run(OPTIMIZERS[name], start().astype(dtype), course)
    expected = [
        [reference(name, k, p, course[:, k, p].tolist(), float(DECAYS[k])) for p in range(P)]
        for k in range(K)
    ]
    np.testing.assert_allclose(after, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", NAMES)
def test_trials_do_not_mix(name: str) -> None:
    """A trial moves to the same bits alone and with others."""
    together = run(OPTIMIZERS[name], start().astype(np.float32), gradients(5))
    for row in range(K):
        alone = run(OPTIMIZERS[name], start().astype(np.float32), gradients(5), rows=slice(row, row + 1))
        np.testing.assert_array_equal(together[row], alone[0])


@pytest.mark.parametrize("name", NAMES)
def test_weight_decay_changes_weights_only(name: str) -> None:
    """With and without weight decay biases move to the same bits, and every weight to others."""
    with_decay = run(OPTIMIZERS[name], start(), gradients(5))
    without = run(OPTIMIZERS[name], start(), gradients(5), decays=np.zeros(K))
    np.testing.assert_array_equal(with_decay[:, DECAYED:], without[:, DECAYED:])
    assert (with_decay[:, :DECAYED] != without[:, :DECAYED]).all()


@pytest.mark.parametrize("name", NAMES)
def test_no_weight_decay_is_the_same_on_both_paths(name: str) -> None:
    """A weight decay of 0 gives the same bits whether its passes are skipped or not."""
    none = np.zeros(K)
    skipped = run(OPTIMIZERS[name], start().astype(np.float32), gradients(5), decays=none)
    passed = run(OPTIMIZERS[name], start().astype(np.float32), gradients(5), decays=none, skips_decay=False)
    np.testing.assert_array_equal(skipped, passed)


@pytest.mark.parametrize("name", NAMES)
def test_a_trial_without_decay_ignores_its_neighbours_decay(name: str) -> None:
    """Next to trials with decay, one without has the bits it has alone, even if a weight is infinite."""
    parameters = start().astype(np.float32)
    parameters[1, 0] = -np.inf
    decays = np.array([0.1, 0.0, 0.2, 0.0])
    together = run(OPTIMIZERS[name], parameters, gradients(5), decays=decays)
    for row in (1, 3):
        alone = run(OPTIMIZERS[name], parameters, gradients(5), decays=decays, rows=slice(row, row + 1))
        np.testing.assert_array_equal(together[row], alone[0])
    assert together[1, 0] == -np.inf


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_adams_bias_corrections_hold_in_float32(name: str) -> None:
    """With a constant gradient every step of Adam is as long as the learning rate, from the first on."""
    course = np.ones((300, K, P)) * np.array([1e-3, 1.0, -1.0, 1e3])[:, None]
    before = np.zeros((K, P), np.float32)
    none = np.zeros(K)
    for steps in (1, 10, 300):
        after = run(OPTIMIZERS[name], before, course[:steps], decays=none)
        expected = -steps * LEARNING_RATES * np.array([1, 1, -1, 1])
        np.testing.assert_allclose(after, np.repeat(expected[:, None], P, axis=1), rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_a_nan_gradient_shows_in_the_parameters(name: str) -> None:
    """A gradient that is NaN makes its parameter NaN, and no other."""
    course = gradients(2)
    course[0, 2, 3] = np.nan
    expected = np.zeros((K, P), bool)
    expected[2, 3] = True
    np.testing.assert_array_equal(np.isnan(run(OPTIMIZERS[name], start(), course)), expected)
