"""Replays of searches on pools of trained configurations."""

from dataclasses import replace

import numpy as np

from hpsearch.study.spec import resolve
from tests.benchmarks.searches import (
    POINTS,
    REFERENCE,
    TASKS,
    VARIANTS,
    Pool,
    Replay,
    Replayed,
    ratios,
    unit_point,
)

EPOCHS, STEPS = 4, 10


def made_up_pool() -> Pool:
    """Return a pool whose results are best in the middle of the first range, and whose last part dies in epoch 2."""
    side = np.linspace(0, 1, 12)
    points = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    quality = 1 - np.abs(points[:, 0] - 0.5)
    curves = quality[:, None] * np.linspace(0.7, 1, EPOCHS)
    dead = points[:, 0] > 0.8
    curves[dead, 1:] = np.nan
    return Pool(
        points=points,
        curves=curves,
        steps=np.where(dead, STEPS + 5, EPOCHS * STEPS),
        causes=np.where(dead, "diverged_lr", ""),
        steps_per_epoch=STEPS,
    )


def replayed(variant: str, seed: int) -> Replayed:
    """Return the outcome of a search of 20 trials."""
    spec = replace(resolve(TASKS["digits"].spec, task="classification"), trials=20, seed=seed)
    pool = made_up_pool()
    return Replay(pool, spec, VARIANTS[variant], pool.best_known() - POINTS).run()


def test_a_replay_spends_its_budget() -> None:
    """All trials end; without pruning each trains all epochs, or one and a half if it dies; one row trains alone."""
    pruned, whole, alone = (replayed(name, 3) for name in (REFERENCE, "no pruning", "1 row"))
    assert (20 * EPOCHS - whole.epochs) % (EPOCHS - 1.5) == 0
    assert pruned.epochs < whole.epochs <= 20 * EPOCHS
    assert alone.cohort_epochs >= alone.epochs
    assert pruned.cohort_epochs < pruned.epochs


def test_a_replay_can_be_repeated_and_depends_on_its_seed() -> None:
    """The same seed gives the same search, another seed another one."""
    one, again, other = (replayed(REFERENCE, seed) for seed in (1, 1, 2))
    assert (one.epochs, one.best, one.until) == (again.epochs, again.best, again.until)
    assert (one.epochs, one.best) != (other.epochs, other.best)


def test_an_expected_cost_counts_searches_that_fail() -> None:
    """Epochs of searches that miss the target are paid by those that reach it."""
    reached, missed = Replayed(until=(100.0, 10), epochs=500.0), Replayed(epochs=300.0)
    every, half = {"task": [reached, reached]}, {"task": [reached, missed]}
    draws = np.array([[0, 1], [0, 0]])
    assert np.allclose(ratios(half, every, 0, draws), [(100 + 300) / 1 / 100, 1.0])


def test_a_point_of_the_unit_cube_has_the_range_own_scale() -> None:
    """The middle of a logarithmic range is its geometric mean."""
    ranges = TASKS["digits, momentum"].search
    point = unit_point(ranges, {"learning_rate": 10**-2.5, "weight_decay": 1e-1, "momentum": 0.0})
    assert np.allclose(point, [0.5, 1.0, 0.0])
