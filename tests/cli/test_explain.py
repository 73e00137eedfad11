"""`hpsearch explain`: verdicts and fates, for people and for programs."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

from hpsearch.verdicts import Cause

Command = Callable[..., CompletedProcess[str]]


def test_all_verdicts_are_listed(command: Command) -> None:
    """Without a name, each verdict has a row with its fate and its meaning, in every format."""
    ended = command("explain")
    assert (ended.returncode, ended.stderr) == (0, "")
    head, *rows = ended.stdout.splitlines()
    assert head.split() == ["verdict", "fate", "meaning"]
    assert [row.split()[0] for row in rows] == list(Cause)
    objects = json.loads(command("explain", "--format", "json").stdout)
    read = list(csv.DictReader(io.StringIO(command("explain", "--format", "csv").stdout)))
    assert [one["verdict"] for one in objects] == [one["verdict"] for one in read] == list(Cause)
    assert {key for one in objects for key in one} == {
        "verdict",
        "meaning",
        "detection",
        "stops",
        "fate",
        "remedy",
    }


def test_a_verdict_is_explained(command: Command, repository: Path) -> None:
    """The explanation is the one that studies/README.md shows."""
    ended = command("explain", "lr_too_high")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert f"```text\n{ended.stdout}```" in (repository / "studies/README.md").read_text()


def test_a_verdict_that_may_stop_a_trial_has_both_fates(command: Command) -> None:
    """A verdict that stops a trial only if the study lists it names the fate with and without that."""
    lines = command("explain", "wd_dominates").stdout.splitlines()
    assert "Stops a trial: only if `pruning.fatal` lists it and its evidence is strong enough." in lines
    assert "Fate: complete, or other verdict if it stops the trial." in lines


def test_a_fate_lists_its_verdicts(command: Command) -> None:
    """A fate of two words needs no quotes; its verdicts have a row each, and are a list in JSON."""
    lines = command("explain", "too", "slow").stdout.splitlines()
    assert lines[0] == 'Fate "too slow": the trial was stopped because its steps were too small to matter.'
    assert [line.split()[0] for line in lines[2:]] == ["verdict", "lr_too_low"]
    shown = json.loads(command("explain", "dying", "--format", "json").stdout)
    assert shown["fate"] == "dying"
    assert shown["verdicts"] == ["dead_relu_total", "dead_relu_partial", "born_dead", "neg_plateau"]


def test_an_unknown_name_is_wrong_usage(command: Command) -> None:
    """The error suggests the most similar name."""
    ended = command("explain", "dead_relu")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == (
        'Error: VERDICT: must be a verdict or a fate (got "dead_relu"): did you mean "dead_relu_total"?\n'
    )
