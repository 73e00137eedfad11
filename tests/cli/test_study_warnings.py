"""Warnings of faults before any training."""

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

Command = Callable[..., CompletedProcess[str]]

DIGITS = """
name = "flawed"
trials = 2
data = { source = "digits", scale = "SCALE" }

[training]
epochs = 1
"""

UNSCALED = (
    'Warning: input_unscaled: The inputs are large: scale them with data.scale = "standard" '
    '(intended? Set pruning.expected = ["input_unscaled"])'
)
SQUARED = (
    'Warning: wrong_loss_pair: Learn classes with model.loss = "cross_entropy" and model.output = "auto" '
    '(intended? Set pruning.expected = ["wrong_loss_pair"])'
)
SUMMED = (
    "Warning: grad_reduction_sum: Summed gradients act like a learning rate of 10: "
    'set training.reduction = "mean" with training.learning_rate = 10, '
    "which does not depend on the size of the minibatch "
    '(intended? Set pruning.expected = ["grad_reduction_sum"])'
)


def flawed(more: str = "", *, scale: str = "none") -> str:
    """Write a study of digits, whose inputs go up to 16 without scaling, and return its path."""
    Path("flawed.toml").write_text(DIGITS.replace("SCALE", scale) + more)
    return "flawed.toml"


@pytest.mark.parametrize(
    ("more", "scale", "warnings"),
    [
        ("", "none", [UNSCALED]),
        ('[model]\nloss = "mse"\n', "unit", [SQUARED]),
        ('reduction = "sum"\n', "unit", [SUMMED]),
        ('reduction = "sum"\n[model]\nloss = "mse"\n', "none", [UNSCALED, SQUARED, SUMMED]),
        ("", "unit", []),
    ],
    ids=["unscaled", "squared error", "sum", "all", "nothing"],
)
def test_creating_warns(command: Command, more: str, scale: str, warnings: list[str]) -> None:
    """`study create` and `--dry-run` warn on stderr, with the way to silence it, and still do their work."""
    file = flawed(more, scale=scale)
    for arguments in (("--dry-run",), ()):
        ended = command("study", "create", file, *arguments)
        assert (ended.returncode, ended.stderr.splitlines()) == (0, warnings)
        assert ended.stdout
        assert "Warning" not in ended.stdout


def test_a_fault_on_purpose_is_said_and_shown(command: Command) -> None:
    """A study with intentionally wrong data states that at its creation, and permanently afterwards."""
    words = "the training part's targets are shuffled independently of its inputs"
    Path("shuffled.toml").write_text(
        'name = "shuffled"\ndata = { source = "digits", fault = "labels_shuffled" }\n'
    )
    planned = command("study", "create", "shuffled.toml", "--dry-run")
    assert planned.stderr.splitlines() == [f"Warning: data.fault: {words}, on purpose"]
    assert f"fault on purpose      {words}" in planned.stdout.splitlines()
    command("study", "create", "shuffled.toml")
    assert f"Fault on purpose: {words}." in command("study", "show", "shuffled").stdout.splitlines()
    shown = json.loads(command("study", "show", "shuffled", "--format", "json").stdout)
    assert shown["fault"] == words


def test_running_warns_where_it_creates(command: Command) -> None:
    """`study run` warns if it creates the study, and not if it continues it."""
    file = flawed()
    lines = [command("study", "run", file, "--workers", "1").stderr.splitlines() for _ in range(2)]
    assert [UNSCALED in written for written in lines] == [True, False]


def test_what_is_expected_is_not_warned_of(command: Command) -> None:
    """The line that a warning names silences it, and no other."""
    file = flawed('reduction = "sum"\n[pruning]\nexpected = ["input_unscaled"]\n')
    assert command("study", "create", file).stderr.splitlines() == [SUMMED]


@pytest.mark.parametrize(
    ("unit", "scale", "is_warned"),
    [(1.0, "none", False), (100.0, "none", False), (100_000.0, "none", True), (100_000.0, "standard", False)],
)
def test_large_targets_are_warned_of(command: Command, unit: float, scale: str, *, is_warned: bool) -> None:
    """Targets that vary by thousands make most learning rates diverge, unless they are standardized as by default."""
    rows = [f"{i},{unit * (i % 5):.1f}" for i in range(200)]
    Path("houses.csv").write_text("\n".join(["area,price", *rows]))
    Path("houses.toml").write_text(
        'name = "houses"\ntrials = 2\nmetric = "validation_loss"\n'
        'data = { source = "houses.csv", target = "price", task = "regression", scale = "standard", '
        f'target_scale = "{scale}" }}\n'
    )
    ended = command("study", "create", "houses.toml", "--dry-run")
    assert ended.returncode == 0
    warned = [line for line in ended.stderr.splitlines() if line.startswith("Warning: targets_unscaled:")]
    assert len(warned) == is_warned
    assert all('set data.target_scale = "standard"' in line for line in warned)
