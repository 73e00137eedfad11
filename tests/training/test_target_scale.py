"""Regression on targets in the hundreds of thousands."""

import numpy as np
import pytest

from hpsearch.data.dataset import RawData, dataset_from
from hpsearch.data.prepare import prepare_dataset
from hpsearch.study.spec import DataSpec, TargetScale
from tests.training.cases import cohort_of, configuration, trained

RATES = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1)


def _r2(unit: float, scale: TargetScale) -> list[float]:
    """Return the final R2 of networks with five learning rates, for prices with a long tail around 180,000."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(600, 8))
    noise = generator.standard_t(3, size=len(x))
    y = 180_000 * np.exp(0.35 * x[:, 0] + 0.25 * x[:, 1] * x[:, 2] + 0.2 * np.sin(2 * x[:, 3]) + 0.03 * noise)
    raw = RawData(inputs=x, targets=y * unit, where="prices", origin="prices")
    spec = DataSpec(source="prices", scale="standard", target_scale=scale)
    data = prepare_dataset(
        dataset_from(raw, name="prices", task="regression"), spec, seed=3, precision="float32"
    )
    chosen = [
        configuration(loss="mse", hidden=(32,), batch_size=32, epochs=15, learning_rate=rate)
        for rate in RATES
    ]
    ends = trained(cohort_of(data, chosen))
    return [ends[number][0].telemetry.epochs[-1].scores["r2"] for number in range(len(RATES))]


def test_standardized_prices_train_as_well_as_divided_ones() -> None:
    """With the default no learning rate dies, and the best R2 is at least that of prices divided by hand."""
    standard, divided = _r2(1.0, "standard"), _r2(1e-5, "none")
    assert np.isfinite(standard).all()
    assert max(standard) >= max(divided) > 0.6
    assert not np.isfinite(_r2(1.0, "none")).all(), "prices as they are kill trials"


def test_the_unit_of_the_targets_does_not_matter() -> None:
    """The R2 in dollars is that in cents, or in millions, up to rounding."""
    for unit in (100.0, 1e-6):
        assert _r2(unit, "standard") == pytest.approx(_r2(1.0, "standard"), abs=1e-3)
