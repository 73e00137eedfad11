"""Initial weights: their scale, their rounding, and a trial's other first values."""

import math
from typing import Literal

import numpy as np
import pytest

from hpsearch.nn.initializers import draw_weights, standard_deviation
from hpsearch.nn.network import build_network
from hpsearch.study.spec import Initializer, ModelSpec

INPUTS, OUTPUTS = 300, 200

CASES = [
    (Initializer(name="he"), math.sqrt(2 / INPUTS)),
    (Initializer(name="xavier"), math.sqrt(2 / (INPUTS + OUTPUTS))),
    (Initializer(name="lecun"), math.sqrt(1 / INPUTS)),
    (Initializer(name="normal", scale=0.01), 0.01),
    (Initializer(name="uniform", scale=0.3), 0.3 / math.sqrt(3)),
]


@pytest.mark.parametrize(("initializer", "deviation"), CASES, ids=lambda case: getattr(case, "name", ""))
def test_weights_have_the_papers_scale(initializer: Initializer, deviation: float) -> None:
    """Weights have mean 0 and the standard deviation of their formula, within four standard errors."""
    weights = np.empty((INPUTS, OUTPUTS))
    draw_weights(initializer, weights, np.random.default_rng(3))
    assert standard_deviation(initializer, INPUTS, OUTPUTS) == pytest.approx(deviation)
    error = 4 / math.sqrt(weights.size)
    assert abs(weights.mean()) < deviation * error
    assert weights.std() == pytest.approx(deviation, rel=error)


def test_uniform_weights_fill_their_interval() -> None:
    """Uniform weights lie between minus and plus their bound, and close to both."""
    weights = np.empty((INPUTS, OUTPUTS))
    draw_weights(Initializer(name="uniform", scale=0.3), weights, np.random.default_rng(3))
    assert -0.3 <= weights.min() < -0.299
    assert 0.299 < weights.max() <= 0.3


@pytest.mark.parametrize("initializer", [case[0] for case in CASES], ids=lambda case: str(case.name))
def test_both_precisions_start_from_the_same_weights(initializer: Initializer) -> None:
    """The float32 weights are the float64 weights, rounded once."""
    wide, narrow = np.empty((20, 30)), np.empty((20, 30), np.float32)
    draw_weights(initializer, wide, np.random.default_rng(5))
    draw_weights(initializer, narrow, np.random.default_rng(5))
    np.testing.assert_array_equal(narrow, wide.astype(np.float32))


@pytest.mark.parametrize("name", ["normal", "uniform"])
def test_a_scale_that_is_missing_is_a_bug(name: Literal["normal", "uniform"]) -> None:
    """An initializer without its scale raises ValueError."""
    with pytest.raises(ValueError, match=f"initializer '{name}' needs a scale"):
        draw_weights(Initializer(name=name), np.empty((2, 2)), np.random.default_rng(0))


@pytest.mark.parametrize("affine", [False, True])
def test_a_trial_starts_with_zero_biases(affine: bool) -> None:  # noqa: FBT001 - a parametrized case
    """Biases and beta start at 0, gamma and the running variance at 1, whatever the array contained."""
    model = ModelSpec(hidden=(4, 3), loss="cross_entropy", batch_norm=True, batch_norm_affine=affine)
    network = build_network(model, inputs=5, outputs=2)
    flat, running = np.full(network.parameters, np.nan), np.full(network.statistics, np.nan)
    network.initialize(flat, running, Initializer(), np.random.default_rng(0))
    for block in network.views(flat[None]):
        assert np.count_nonzero(block.w) == block.w.size
        assert not block.b.any()
        assert (block.gamma is not None) == (affine and block.w.shape[2] != 2)
        if block.gamma is not None and block.beta is not None:
            assert (block.gamma == 1).all()
            assert not block.beta.any()
    for statistics in network.running_views(running[None])[:-1]:
        assert statistics is not None
        assert not statistics[0].any()
        assert (statistics[1] == 1).all()
