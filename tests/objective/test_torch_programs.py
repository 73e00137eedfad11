"""Verdicts on programs in PyTorch: each fault has its name, and no healthy program is accused."""

import pytest

from tests.objective.torch_programs import require_torch

require_torch()

import torch  # noqa: E402 # it may be missing

from tests.objective.torch_programs import HEALTHY, ILL, Transformer, perceptron, train  # noqa: E402

QUICK = ("perceptron", "MLP with dropout", "LSTM", "autoencoder", "residual with batch norm", "embeddings")
"""The healthy programs of the suite; `python -m tests.benchmarks.programs` runs all, with several seeds."""


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Draw the same initial weights in every run."""
    torch.manual_seed(0)


@pytest.mark.parametrize("name", ILL)
def test_a_fault_has_its_name(name: str) -> None:
    """The verdict on an ill program names its fault, with a remedy in plain words and no certainty."""
    program, expected = ILL[name]
    verdict = program().verdict
    assert verdict.cause in expected
    assert verdict.confidence <= 0.85
    assert not any(word in verdict.remedy for word in ("model.", "training.", "data."))


@pytest.mark.parametrize("name", QUICK)
def test_a_healthy_program_is_not_accused(name: str) -> None:
    """A program that learns is healthy in the end, and was never reported."""
    program = HEALTHY[name]
    assert program().verdict.cause == "healthy"


def test_labels_that_are_learned_slowly_are_not_called_unrelated() -> None:
    """A transformer at a low rate is near chance for long, but the examples of its minibatches agree."""
    assert train(Transformer(), rate=0.02).verdict.cause != "labels_unrelated"


def test_nothing_is_reported_of_a_healthy_program() -> None:
    """A loop that learns calls no `on_verdict`."""
    seen: list[object] = []
    train(perceptron(), seen=seen, epochs=True)
    assert seen == []
