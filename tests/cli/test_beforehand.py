"""Warnings of what is wrong before anything is trained."""

from collections.abc import Callable, Sequence
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from hpsearch.cli import beforehand
from hpsearch.diagnosis.facts import Facts
from hpsearch.records import Cause, Finding

Command = Callable[..., CompletedProcess[str]]

UNSCALED = 'Warning: input_unscaled: Scale the 120 examples (meant? pruning.expected = ["input_unscaled"])'


@pytest.fixture
def flawed(monkeypatch: pytest.MonkeyPatch) -> list[Facts]:
    """Let every study have a flaw that diagnosis finds beforehand; return the facts that it was asked about."""
    asked: list[Facts] = []

    def found(facts: Facts) -> Sequence[Finding]:
        asked.append(facts)
        remedy = f"Scale the {facts.data.examples} examples."
        cause = Cause.INPUT_UNSCALED
        return [Finding(cause=cause, confidence=1.0, first_step=0, evidence={}, remedy=remedy)]

    monkeypatch.setattr(beforehand, "findings_before", found)
    return asked


def test_creating_warns(command: Command, study_file: Path, flawed: list[Facts]) -> None:
    """`study create` and `--dry-run` warn on stderr, with how to silence it, and do what they do."""
    for arguments in (("--dry-run",), ()):
        ended = command("study", "create", str(study_file), *arguments)
        assert (ended.returncode, ended.stderr) == (0, f"{UNSCALED}\n")
        assert "Warning" not in ended.stdout
    assert (flawed[0].steps_per_epoch, flawed[0].configuration.training.epochs) == (6, 3)


def test_running_warns_where_it_creates(command: Command, study_file: Path, flawed: list[Facts]) -> None:
    """`study run` warns when it creates the study, and not when it goes on with it."""
    lines = [
        command("study", "run", str(study_file), "--workers", "1", "--trials", "2").stderr.splitlines()
        for _ in range(2)
    ]
    assert [UNSCALED in written for written in lines] == [True, False]


def test_what_is_expected_is_not_warned_of(command: Command, study_file: Path, flawed: list[Facts]) -> None:
    """The line that a warning names silences it."""
    study_file.write_text(study_file.read_text() + '[pruning]\nexpected = ["input_unscaled"]\n')
    assert command("study", "create", str(study_file)).stderr == ""
    assert flawed[0].expected == {Cause.INPUT_UNSCALED}
