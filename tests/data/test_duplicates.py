"""Examples that two parts share: copies, and equal examples that chance explains."""

from collections.abc import Callable
from typing import Final

import numpy as np
import pytest

from hpsearch.data.dataset import Array
from hpsearch.data.duplicates import LEAST_SHARE, shared_examples

EXAMPLES: Final = 800


def switches(generator: np.random.Generator) -> Array:
    """Return settings of five switches: 32 different inputs."""
    return (generator.random((EXAMPLES, 5)) < 0.4).astype(np.float64)


def categories(generator: np.random.Generator) -> Array:
    """Return four categories of four values each, with a column for each value."""
    return np.concatenate([np.eye(4)[generator.integers(0, 4, EXAMPLES)] for _ in range(4)], axis=1)


def people(generator: np.random.Generator) -> Array:
    """Return a class of three, an age in years, a sex and a number of children."""
    return np.column_stack(
        [
            np.eye(3)[generator.integers(0, 3, EXAMPLES)],
            np.clip(generator.normal(30, 13, EXAMPLES), 0, 80).round(),
            generator.random(EXAMPLES) < 0.35,
            generator.poisson(0.4, EXAMPLES),
        ]
    )


def rounded(generator: np.random.Generator) -> Array:
    """Return five correlated measurements with one decimal."""
    size = generator.normal(size=(EXAMPLES, 1))
    return np.round(size + 0.3 * generator.normal(size=(EXAMPLES, 5)), 1)


def measured(generator: np.random.Generator) -> Array:
    """Return a category and two measurements with all their digits."""
    return np.column_stack(
        [np.eye(5)[generator.integers(0, 5, EXAMPLES)], generator.normal(size=(EXAMPLES, 2))]
    )


Table = Callable[[np.random.Generator], Array]


def shared(inputs: Array, *, other_targets: bool = False) -> tuple[int, int]:
    """Return how many examples with equal and with other targets a fifth of `inputs` shares with the rest."""
    targets = np.arange(len(inputs)) if other_targets else np.zeros(len(inputs), np.int64)
    fifth = len(inputs) // 5
    found = shared_examples((inputs[fifth:], targets[fifth:]), (inputs[:fifth], targets[:fifth]))
    return len(found.same), len(found.other)


@pytest.mark.parametrize("table", [switches, categories, people, rounded, measured])
@pytest.mark.parametrize("seed", range(5))
def test_equal_examples_by_nature_are_no_copies(table: Table, seed: int) -> None:
    """Tables of few different inputs have equal examples, and no leak."""
    assert shared(table(np.random.default_rng(seed))) == (0, 0)


@pytest.mark.parametrize("table", [rounded, measured])
@pytest.mark.parametrize("copied", [0.05, 0.5, 1.0])
@pytest.mark.parametrize("other_targets", [False, True])
def test_copied_examples_are_found(table: Table, copied: float, *, other_targets: bool) -> None:
    """Copies that were made before the split are in both parts, with their own target or with another one."""
    generator = np.random.default_rng(7)
    inputs = table(generator)
    again = inputs[generator.integers(0, EXAMPLES, int(copied * EXAMPLES))]
    inputs = generator.permutation(np.concatenate([inputs, again]))
    same, other = shared(inputs, other_targets=other_targets)
    assert (same > 0, other > 0) == (not other_targets, other_targets)
    assert same + other > copied * EXAMPLES / 20


def test_twins_are_equal() -> None:
    """Each copy comes with the place of an example of training that it equals, whatever the sign of a zero."""
    generator = np.random.default_rng(3)
    inputs = generator.normal(size=(100, 4)).astype(np.float32)
    inputs[:, 3] = 0.0
    there = generator.normal(size=(40, 4)).astype(np.float32)
    there[[3, 8, 20]] = inputs[[90, 2, 50]]
    there[8, 3] = -0.0
    targets = np.arange(100) / 7
    found = shared_examples((inputs, targets[:, None]), (there, np.full((40, 1), targets[2])))
    assert (found.same, found.twins, found.other) == ((8,), (2,), (3, 20))


@pytest.mark.parametrize(("copies", "examples"), [(2, 40), (3, int(4 / LEAST_SHARE))])
def test_few_copies_prove_nothing(copies: int, examples: int) -> None:
    """Fewer than three copies, or a hundredth of the validation part, are none."""
    generator = np.random.default_rng(3)
    inputs = generator.normal(size=(100, 4))
    there = generator.normal(size=(examples, 4))
    there[:copies] = inputs[:copies]
    found = shared_examples((inputs, np.zeros(100)), (there, np.zeros(examples)))
    assert (found.same, found.other) == ((), ())
