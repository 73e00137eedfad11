"""`hpsearch.watch` in a script: verdicts and warnings without a study."""

import math
import warnings

import numpy as np
import pytest

import hpsearch


def descend(rate: float, monitor: hpsearch.TrainingMonitor, *, steps: int = 300) -> None:
    """Train a linear classifier by NumPy alone, under a monitor."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, 600)
    x = generator.standard_normal((3, 5))[labels] * 2 + generator.standard_normal((600, 5))
    w = np.zeros((5, 3))
    for step in range(steps):
        rows = np.arange(step * 100, step * 100 + 100) % 600
        z = x[rows] @ w
        p = np.exp(z - z.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        loss = -np.log(p[np.arange(100), labels[rows]] + 1e-300).mean()
        p[np.arange(100), labels[rows]] -= 1
        w -= rate * x[rows].T @ p / 100
        monitor.step(loss, outputs=z, targets=labels[rows])


def test_numbers_of_any_framework_have_a_verdict() -> None:
    """A loop in NumPy that learns is healthy, and its monitor lists its blind spots."""
    monitor = hpsearch.watch(learning_rate=0.1)
    descend(0.1, monitor)
    assert monitor.verdict.cause == "healthy"
    assert monitor.verdict.confidence <= 0.85
    assert "300 steps" in repr(monitor)
    assert "healthy" in monitor._repr_html_()
    assert monitor.notes
    monitor.close()


def test_a_loop_that_explodes_warns_at_its_line() -> None:
    """Without `on_verdict` the verdict is a warning, once, whose place is the line that called `step`."""
    monitor = hpsearch.watch(learning_rate=1e5)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        descend(1e5, monitor)
    (warning,) = caught
    assert issubclass(warning.category, hpsearch.TrainingWarning)
    assert warning.filename == __file__
    assert "exploding: Lower the learning rate from 100000 to " in str(warning.message)


def test_a_loss_alone_that_is_not_finite_is_reported() -> None:
    """A loss is enough for a verdict on numbers that break; unknown rates are not named."""
    seen: list[hpsearch.Verdict] = []
    monitor = hpsearch.watch(on_verdict=seen.append)
    for loss in (2.3, 2.1, math.inf, math.nan):
        monitor.step(loss)
    (verdict,) = seen
    assert verdict.cause == "diverged_lr"
    assert verdict.remedy == "Lower the learning rate, clip gradients, or normalize."
    assert verdict.suggested == {}


def test_epochs_have_verdicts_on_curves() -> None:
    """With the ends of epochs, a validation loss that rises while training's falls is overfit."""
    monitor = hpsearch.watch(on_verdict=lambda _: None)
    z = np.zeros((100, 2))
    for epoch in range(10):
        for _ in range(20):
            monitor.step(math.log(2), outputs=z, targets=np.arange(100) % 2)
        monitor.end_epoch(
            training_loss=0.6 * 0.7**epoch, validation_loss=0.5 + 0.1 * epoch, validation_accuracy=0.7
        )
    assert "overfit" in [finding.cause for finding in monitor.findings]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: hpsearch.watch(optimizer=object()), "watch: model and optimizer must come together"),  # type: ignore[arg-type, unused-ignore]
        (lambda: hpsearch.watch(steps=0), "watch: steps must be a whole number from 1 on (got 0)"),
        (lambda: hpsearch.watch().end_epoch(), "end_epoch: must come after the first step"),
    ],
)
def test_wrong_usage_is_refused(call: object, message: str) -> None:
    """A refusal is one sentence with the value."""
    assert callable(call)
    with pytest.raises(hpsearch.UsageError) as error:
        call()
    assert str(error.value).startswith(message)
