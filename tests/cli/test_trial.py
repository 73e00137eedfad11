"""`hpsearch trial show`: one trial with all its stored facts."""

import csv
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import optuna
import pytest

from hpsearch.storage.records import Assignment, TrialOutcome, Update
from hpsearch.storage.store import open_store
from hpsearch.trials import ParameterValue, TrialState
from hpsearch.verdicts import Cause, Finding

Command = Callable[..., CompletedProcess[str]]


def one(command: Command, name: str, number: int) -> Any:
    """Return the JSON of `trial show`."""
    ended = command("trial", "show", name, str(number), "--format", "json")
    assert ended.returncode == 0
    return json.loads(ended.stdout)


@pytest.fixture
def eventful(command: Command, study_file: Path, tmp_path: Path) -> str:
    """Return the name of a study whose trial 0 was handed back, lost its worker, and then diverged."""
    assert command("study", "create", str(study_file), "--trials", "1").returncode == 0
    params: dict[str, ParameterValue] = {
        "learning_rate": 123456.75,
        "weight_decay": 1e-5,
        "model.activation": "relu",
    }
    finding = Finding(
        cause=Cause.DIVERGED_LR,
        confidence=0.875,
        first_step=5,
        evidence={"last_loss": 41250.5, "limit": 1022.0},
        remedy="Lower the learning rate.",
        suggested={"learning_rate": 0.125},
    )
    with open_store(f"sqlite:///{tmp_path / 'default.db'}") as store:
        study = store.studies.get("flowers")
        for worker, crashed in (("ann", False), ("bob", True)):
            (claim,) = store.queue.claim(study, worker=worker, count=1, lease_s=600.0)
            store.trials.record(study, [Update(claim=claim, reports={0: 0.5, 1: 0.25}, epochs=2, steps=12)])
            why = "it was killed by signal 9" if crashed else "the worker was stopped"
            store.queue.release(study, worker=worker, numbers=None, why=why, crashed=crashed)
        (claim,) = store.queue.claim(study, worker="eve", count=1, lease_s=600.0)
        store.trials.assign(study, [Assignment(claim=claim, params=params)])
        outcome = TrialOutcome(state=TrialState.PRUNED, value=0.375, finding=finding, series={})
        store.trials.record(
            study, [Update(claim=claim, reports={0: 0.375}, epochs=1, steps=6, outcome=outcome)]
        )
    return "flowers"


def test_a_trial_is_shown_with_everything(command: Command, eventful: str) -> None:
    """For people: parameters, verdict, evidence, remedy, suggestions, and every lost attempt."""
    lines = command("trial", "show", eventful, "0").stdout.splitlines()
    moment = lines[-1].rpartition("  ")[2]
    assert lines == [
        "flowers: trial 0: diverged, diverged_lr from step 5",
        "",
        "property          value",
        "learning_rate     123457",
        "weight_decay      1e-05",
        "model.activation  relu",
        "val acc           0.375",
        "fate              diverged",
        "epochs            1",
        "steps             6",
        "attempts          3",
        "worker            eve",
        f"started           {moment}",
        f"finished          {moment}",
        "",
        "Verdict: diverged_lr from step 5, confidence 88 %",
        "  last_loss 41250",
        "  limit 1022",
        "Remedy: Lower the learning rate.",
        "  learning_rate = 0.12",
        "",
        "attempt  worker  why it ended               epochs  kind         counts  ended",
        f"      1  ann     the worker was stopped          2  handed back  no      {moment}",
        f"      2  bob     it was killed by signal 9       2  crashed      yes     {moment}",
    ]


def test_a_trial_is_shown_for_programs(command: Command, eventful: str) -> None:
    """As JSON it is the object of `study trials`, with its history."""
    trial = one(command, eventful, 0)
    history = trial.pop("history")
    assert [trial] == json.loads(command("study", "trials", eventful, "--format", "json").stdout)
    assert (trial["params"]["learning_rate"], trial["evidence"]["last_loss"]) == (123456.75, 41250.5)
    for moment in ("started", "ended"):
        assert [attempt.pop(moment)[-6:] for attempt in history] == ["+00:00"] * 2
    assert [attempt.pop("kind") for attempt in history] == ["handed_back", "crashed"]
    assert history == [
        {"attempt": 1, "worker": "ann", "why": "the worker was stopped", "crashed": False, "epochs": 2},
        {"attempt": 2, "worker": "bob", "why": "it was killed by signal 9", "crashed": True, "epochs": 2},
    ]
    (row,) = csv.DictReader(io.StringIO(command("trial", "show", eventful, "0", "--format", "csv").stdout))
    assert (row["number"], row["params.learning_rate"], row["remedy"]) == ("0", "123456.75", trial["remedy"])
    assert len(json.loads(row["history"])) == 2


def test_every_trial_of_a_study_can_be_shown(command: Command, finished: str) -> None:
    """A trial of any fate is shown; one without events has no history."""
    for number in range(12):
        assert one(command, finished, number)["history"] == []
        lines = command("trial", "show", finished, str(number)).stdout.splitlines()
        assert lines[0].startswith(f"flowers: trial {number}: ")
        assert not any(line.startswith("attempt ") for line in lines)


def test_a_trial_that_has_not_begun_can_be_shown(command: Command, study_file: Path, tmp_path: Path) -> None:
    """A trial of a vanished worker is swept by any reading command, and is shown waiting with its history."""
    assert command("study", "create", str(study_file)).returncode == 0
    with open_store(f"sqlite:///{tmp_path / 'default.db'}") as store:
        store.queue.claim(store.studies.get("flowers"), worker="ann", count=1, lease_s=-1.0)
    lines = command("trial", "show", "flowers", "0").stdout.splitlines()
    assert lines[0] == "flowers: trial 0: waiting"
    assert lines[-1].split()[:4] == ["1", "ann", "lease", "expired"]
    assert one(command, "flowers", 0)["state"] == "waiting"


def test_what_a_trial_was_enqueued_with_is_shown(command: Command, study_file: Path) -> None:
    """It is shown before the trial begins, for people and for programs, and stays marked."""
    assert command("study", "create", str(study_file), "--trials", "1").returncode == 0
    asked = ("--set", "learning_rate=0.01", "--set", "model.activation=tanh")
    assert command("trial", "enqueue", "flowers", *asked).returncode == 0
    marked = [
        "learning_rate     0.01 (given in advance)",
        "model.activation  tanh (given in advance)",
    ]
    lines = command("trial", "show", "flowers", "0").stdout.splitlines()
    assert lines[0] == "flowers: trial 0: waiting"
    assert lines[3:6] == [*marked, "val acc           none"]
    _, row = command("study", "trials", "flowers", "--state", "waiting").stdout.splitlines()
    assert row.split() == ["0", "0.01", "tanh", "waiting", "0"]
    given = {"learning_rate": 0.01, "model.activation": "tanh"}
    trial = one(command, "flowers", 0)
    assert (trial["params"], trial["given"]) == ({}, given)
    for verb in (("trial", "show", "flowers", "0"), ("study", "trials", "flowers")):
        (cells,) = csv.DictReader(io.StringIO(command(*verb, "--format", "csv").stdout))
        assert (cells["given.learning_rate"], cells["given.model.activation"]) == ("0.01", "tanh")
    assert command("worker", "start", "--study", "flowers", "--exit-when-idle").returncode == 0
    lines = command("trial", "show", "flowers", "0").stdout.splitlines()
    assert all(line in lines for line in marked)
    (decay,) = (line for line in lines if line.startswith("weight_decay"))
    assert "given" not in decay
    trial = one(command, "flowers", 0)
    assert trial["given"] == {name: trial["params"][name] for name in given}


def test_a_number_that_is_not_there_is_told(command: Command, finished: str) -> None:
    """The error lists the existing numbers, or names."""
    ended = command("trial", "show", finished, "99")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == (
        'Error: study "flowers": must have the trial (got 99): they are numbered from 0 to 11\n'
    )
    assert command("trial", "show", "flower", "0").returncode == 1
    assert command("trial", "show", finished, "-1").returncode == 2


@pytest.mark.parametrize("number", ["-1", "-12"])
def test_a_negative_number_is_no_option(command: Command, number: str) -> None:
    """`trial show digits -1` is answered with the rule for numbers of trials, not with an unknown option."""
    for verb in ("show", "replay", "fail", "retry"):
        ended = command("trial", verb, "foo", number)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert ended.stderr.endswith(
            "Error: Invalid value for 'NUMBER': must be a trial's number, a whole number from 0 to 2147483647 "
            f"(got {number})\n"
        )
    assert "No such option: -1" in command("study", "show", number).stderr


@pytest.mark.parametrize("number", ["x", "1.5", "", "2147483648", "\u0663"])
def test_what_is_no_number_is_wrong_usage(command: Command, number: str) -> None:
    """The message explains a trial's number in our words, also if it is an option."""
    message = f"must be a trial's number, a whole number from 0 to 2147483647 (got {number})"
    for arguments in (("trial", "show", "foo", number), ("study", "test", "foo", "--trial", number)):
        ended = command(*arguments)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert message in ended.stderr


def test_every_point_of_a_grid_is_trained_besides_an_enqueued_trial(command: Command) -> None:
    """A trial of the user's own takes no point of the grid; the command prints the budget that has room for all."""
    Path("grid.toml").write_text(
        'name = "grid"\ntrials = 4\ndata = { source = "iris" }\n[training]\nepochs = 1\n'
        '[sampler]\nname = "grid"\npoints = 2\n[pruning]\nfatal = []\n[search]\n'
        "learning_rate = { low = 0.01, high = 0.1, log = true }\n"
        "weight_decay = { low = 1e-8, high = 1e-4, log = true }\n"
    )
    assert command("study", "create", "grid.toml").returncode == 0
    ended = command("trial", "enqueue", "grid", "--set", "learning_rate=0.05", "--set", "weight_decay=1e-6")
    assert ended.stdout.endswith(
        "The grid has 4 points, and 1 of the 4 trials is not of it: `hpsearch study edit grid --trials 5` trains all\n"
    )
    assert command("study", "run", "grid", "--trials", "5").returncode == 0
    trials = json.loads(command("study", "trials", "grid", "--format", "json").stdout)
    tried = sorted((t["params"]["learning_rate"], t["params"]["weight_decay"]) for t in trials)
    assert tried == [(0.01, 1e-8), (0.01, 1e-4), (0.05, 1e-6), (0.1, 1e-8), (0.1, 1e-4)]


def test_a_trial_of_another_client_is_listed_taken_over_and_given_up(
    command: Command, finished: str, tmp_path: Path
) -> None:
    """Listings name its owner, `study show` prints how to end the wait, and those commands work."""
    assert command("study", "edit", finished, "--trials", "14").returncode == 0
    storage = optuna.storages.RDBStorage(f"sqlite:///{tmp_path / 'default.db'}")
    study = optuna.load_study(study_name=finished, storage=storage)
    study.ask()
    study.ask()
    assert "run by another Optuna client" in command("study", "trials", finished).stdout
    assert "another Optuna client" in command("trial", "show", finished, "12").stdout
    assert one(command, finished, 12)["owner"] == "another Optuna client"
    shown = command("study", "show", finished).stdout
    assert "`hpsearch trial retry flowers 12` trains it here" in shown
    foreign = json.loads(command("study", "show", finished, "--format", "json").stdout)["foreign"]
    assert [(trial["number"], trial["counts"]) for trial in foreign] == [(12, True), (13, True)]
    asked = ("fail", "fail", "retry", "retry")
    assert [command("trial", verb, finished, "12").stdout for verb in asked] == [
        'Study "flowers": trial 12 has failed\n',
        'Study "flowers": trial 12 had failed before\n',
        'Study "flowers": trial 14 waits in place of trial 12\n',
        'Study "flowers": trial 14 already waits in place of trial 12\n',
    ]
    shown = command("trial", "show", finished, "12").stdout
    assert shown.startswith("flowers: trial 12: given up by a user\n")
    assert "Verdict: stopped, confidence 100 %\nRemedy: Given up by `hpsearch trial fail`" in shown
    assert "told by" not in shown
    assert command("report", finished, "--output", "flowers.html").returncode == 0
    assert "Given up by `hpsearch trial fail`" in Path("flowers.html").read_text()
    assert command("trial", "retry", finished, "13").stdout == 'Study "flowers": trial 13 waits\n'
    assert command("trial", "retry", finished, "13").stdout == 'Study "flowers": trial 13 already waits\n'
    refused = command("trial", "fail", finished, "0")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "finished trials are never changed" in refused.stderr
    assert command("worker", "start", "--study", finished, "--exit-when-idle").returncode == 0
    study.tell(study.ask(), 0.5)
    storage.remove_session()
    storage.engine.dispose()
    sentence = command("study", "show", finished).stdout.splitlines()[0]
    assert sentence == "flowers: Finished: 15 of 14 trials, 1 more than the budget."


def test_a_retry_on_a_spent_budget_names_the_budget_that_lets_it_run(
    command: Command, finished: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer comes first, then the hint of `trial enqueue`, then the report that was written again."""
    optuna.load_study(study_name=finished, storage="sqlite:///default.db").ask()
    assert command("report", finished).returncode == 0
    monkeypatch.setattr(sys, "stderr", sys.stdout)
    said = [command("trial", verb, finished, "12").stdout.splitlines() for verb in ("fail", "retry", "retry")]
    written = said[0][-1]
    assert written.startswith("Report written again: ")
    hint = "The budget of 12 trials is spent: `hpsearch study edit flowers --trials 13` lets it run"
    assert said == [
        ['Study "flowers": trial 12 has failed', written],
        ['Study "flowers": trial 13 waits in place of trial 12', hint, written],
        ['Study "flowers": trial 13 already waits in place of trial 12', hint, written],
    ]


def test_a_trial_that_ended_before_it_began_has_no_attempt_and_no_replay(
    command: Command, finished: str
) -> None:
    """An enqueued trial that is given up was never tried, and the replay does not blame another program."""
    assert command("trial", "enqueue", finished, "--set", "learning_rate=0.05").returncode == 0
    assert command("trial", "fail", finished, "12").returncode == 0
    shown = command("trial", "show", finished, "12", "--format", "json").stdout
    assert json.loads(shown)["attempts"] == 0
    replayed = command("trial", "replay", finished, "12")
    assert (replayed.returncode, "it failed before a worker claimed it" in replayed.stderr) == (1, True)


@pytest.mark.parametrize("verb", ["fail", "retry"])
def test_trials_of_a_study_that_another_client_made_are_left_to_it(command: Command, verb: str) -> None:
    """The message names the study's maker and the working commands, even if there are only Optuna's tables."""
    theirs = optuna.create_study(storage="sqlite:///default.db", study_name="theirs")
    theirs.ask()
    refused = command("trial", verb, "theirs", "0")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith(
        'Error: study "theirs": must have been made by hpsearch (it was made by another Optuna client): '
    )
    assert verb in refused.stderr
    assert "there is no such study" in command("trial", verb, "others", "0").stderr
