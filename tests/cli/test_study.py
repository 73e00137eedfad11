"""`hpsearch study`: studies stored, shown and deleted, for people and for programs."""

import csv
import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import optuna
import pytest

from hpsearch.storage.records import WorkerIdentity
from hpsearch.storage.store import open_store
from tests.cli.terminal import Terminal
from tests.report.synthetic import drawings_of

Command = Callable[..., CompletedProcess[str]]

STUDY_FIELDS = {
    "name",
    "state",
    "trials",
    "finished",
    "complete",
    "pruned",
    "failed",
    "running",
    "waiting",
    "ledger",
    "best",
}
TRIAL_FIELDS = {"number", "value", "state", "params", "verdict", "epochs"}


def strict_json(ended: CompletedProcess[str]) -> Any:
    """Return a command's output as JSON, without NaN and infinity."""

    def forbidden(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    assert ended.returncode == 0
    return json.loads(ended.stdout, parse_constant=forbidden)


def rows_of(ended: CompletedProcess[str]) -> list[dict[str, str]]:
    """Return a command's output as rows of CSV."""
    assert ended.returncode == 0
    return list(csv.DictReader(io.StringIO(ended.stdout)))


def test_a_dry_run_says_what_would_run(command: Command, study_file: Path) -> None:
    """`--dry-run` prints trials, epochs, steps, parameters and memory, and creates nothing."""
    ended = command("study", "create", str(study_file), "--dry-run", "--trials", "40", "--name", "other")
    assert ended.returncode == 0
    said = dict(
        line.split(maxsplit=1) for line in ended.stdout.splitlines() if line.startswith(("study", "trials"))
    )
    assert said == {"study": "other", "trials": "40"}
    for line in (
        "epochs per trial      3 at most",
        "steps per epoch       6",
        "parameters            515 per network, 4 inputs, 3 outputs",
        "examples              120 to train on, 30 to validate",
        "search                learning_rate: 1e-07 to 1e+06, logarithmic",
        "search                model.activation: one of relu, tanh",
    ):
        assert line in ended.stdout.splitlines()
    assert "memory of a cohort" in ended.stdout
    assert [path.name for path in Path().iterdir()] == [study_file.name]


def test_the_memory_of_a_cohort_is_of_the_largest_network(command: Command, study_file: Path) -> None:
    """If widths are searched, `--dry-run` counts the memory of the widest network."""
    text = study_file.read_text()
    memory = []
    for hidden in ("[2000]", "[20]"):
        study_file.write_text(f"{text}\n[model]\nhidden = {hidden}\n")
        memory.append(command("study", "create", str(study_file), "--dry-run").stdout.splitlines()[-1])
    study_file.write_text(text + '"model.hidden" = { choices = [[20], [2000]] }\n')
    assert command("study", "create", str(study_file), "--dry-run").stdout.splitlines()[-1] == memory[0]
    assert memory[0] != memory[1]


def test_creating_twice_keeps_the_study(command: Command, study_file: Path) -> None:
    """The same file again changes nothing; `--trials` sets the budget."""
    url = f"sqlite:///{Path('default.db').absolute()}"
    ended = command("study", "create", str(study_file))
    assert ended.stdout == f'Study "flowers": created with a budget of 12 trials in {url}\n'
    assert command("study", "create", str(study_file)).stdout == (
        'Study "flowers": is stored already, with a budget of 12 trials\n'
    )
    assert command("study", "create", str(study_file), "--trials", "20").stdout == (
        'Study "flowers": the budget is 20 trials now (it was 12)\n'
    )
    assert command("study", "create", str(study_file)).stdout == (
        'Study "flowers": is stored already, with a budget of 20 trials (the file has 12: --trials 12 sets that)\n'
    )
    assert strict_json(command("study", "show", "flowers", "--format", "json"))["trials"] == 20


def test_the_default_database_is_made_on_first_use(
    command: Command, study_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a URL the database is `storage/hpsearch.db`; reading creates nothing, creating makes its folder too."""
    monkeypatch.delenv("HPSEARCH_STORAGE")
    assert strict_json(command("study", "list", "--format", "json")) == []
    assert not Path("storage").exists()
    assert command("study", "create", str(study_file)).returncode == 0
    assert Path("storage/hpsearch.db").exists()


def test_the_variables_choose_the_database(
    command: Command, study_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--storage` wins over HPSEARCH_STORAGE, which wins over OPTUNA_STORAGE; an empty one counts as unset."""
    monkeypatch.setenv("OPTUNA_STORAGE", "sqlite:///optuna.db")
    command("study", "create", str(study_file), "--storage", "sqlite:///option.db")
    assert sorted(path.name for path in Path().glob("*.db")) == ["option.db"]
    command("study", "create", str(study_file))
    assert sorted(path.name for path in Path().glob("*.db")) == ["default.db", "option.db"]
    monkeypatch.setenv("HPSEARCH_STORAGE", "")
    command("study", "create", str(study_file))
    assert sorted(path.name for path in Path().glob("*.db")) == ["default.db", "option.db", "optuna.db"]


def test_show_counts_trials_and_epochs(command: Command, finished: str) -> None:
    """`study show` as JSON has the promised fields, and its counts add up."""
    shown = strict_json(command("study", "show", finished, "--format", "json"))
    assert shown.keys() >= STUDY_FIELDS
    assert (shown["name"], shown["state"], shown["trials"], shown["finished"]) == (
        finished,
        "finished",
        12,
        12,
    )
    assert shown["complete"] + shown["pruned"] == 12
    assert sum(shown["ledger"].values()) == shown["epochs"]
    assert shown["best"].keys() >= TRIAL_FIELDS


def test_trials_are_listed_with_their_verdicts(command: Command, finished: str) -> None:
    """`study trials` as JSON has the promised fields for all trials, by number; no value has a reason."""
    trials = strict_json(command("study", "trials", finished, "--format", "json"))
    assert [trial["number"] for trial in trials] == list(range(12))
    for trial in trials:
        assert trial.keys() >= TRIAL_FIELDS
        assert set(trial["params"]) == {"learning_rate", "weight_decay", "model.activation"}
        assert (trial["value"] is None) == (trial["value_reason"] is not None)
    verdicts = {trial["verdict"] for trial in trials}
    assert len(verdicts) > 1
    assert None not in verdicts


def test_the_best_are_ranked(command: Command, finished: str) -> None:
    """`study best` lists complete trials only, best first, as many as requested."""
    best = strict_json(command("study", "best", finished, "--format", "json", "--count", "3"))
    trials = strict_json(command("study", "trials", finished, "--format", "json", "--state", "complete"))
    ranked = sorted(trials, key=lambda trial: (-trial["value"], trial["number"]))
    assert best == ranked[:3]
    assert strict_json(command("study", "show", finished, "--format", "json"))["best"] == ranked[0]


def test_states_and_limits_choose_trials(command: Command, finished: str) -> None:
    """`--state` may be given twice, and `--limit` takes the first by number."""
    every = strict_json(command("study", "trials", finished, "--format", "json"))
    both = command(
        "study", "trials", finished, "--format", "json", "--state", "pruned", "--state", "complete"
    )
    assert strict_json(both) == every
    pruned = command("study", "trials", finished, "--format", "json", "--state", "pruned", "--limit", "1")
    assert strict_json(pruned) == [trial for trial in every if trial["state"] == "pruned"][:1]
    assert strict_json(command("study", "trials", finished, "--format", "json", "--state", "running")) == []


def test_fates_choose_trials(command: Command, finished: str) -> None:
    """`--fate` may be given twice, with fates of two words in quotes, and combines with `--state`."""
    every = strict_json(command("study", "trials", finished, "--format", "json"))
    wanted = ("--fate", "complete", "--fate", "too slow")
    chosen = strict_json(command("study", "trials", finished, "--format", "json", *wanted))
    assert chosen == [trial for trial in every if trial["fate"] in ("complete", "too slow")]
    assert 0 < len(chosen) < len(every)
    both = command("study", "trials", finished, "--format", "json", *wanted, "--state", "complete")
    assert strict_json(both) == [trial for trial in every if trial["fate"] == "complete"]


def test_csv_says_what_json_says(command: Command, finished: str) -> None:
    """CSV has one line a trial, with nested fields in adjacent columns with dotted names."""
    trials = strict_json(command("study", "trials", finished, "--format", "json"))
    rows = rows_of(command("study", "trials", finished, "--format", "csv"))
    assert [int(row["number"]) for row in rows] == [trial["number"] for trial in trials]
    for row, trial in zip(rows, trials, strict=True):
        assert float(row["params.learning_rate"]) == trial["params"]["learning_rate"]
        assert row["params.model.activation"] == trial["params"]["model.activation"]
        assert (row["value"] == "") == (trial["value"] is None)
        assert row["verdict"] == trial["verdict"]
    tops = [name.partition(".")[0] for name in rows[0]]
    assert tops == sorted(tops, key=tops.index)
    assert float(rows_of(command("study", "show", finished, "--format", "csv"))[0]["finished"]) == 12


def test_an_empty_csv_has_a_head(command: Command, finished: str) -> None:
    """A listing of nothing is still CSV that can be read."""
    ended = command("study", "trials", finished, "--format", "csv", "--state", "waiting")
    assert set(ended.stdout.strip().split(",")) >= TRIAL_FIELDS


def test_tables_are_not_cut(command: Command, finished: str) -> None:
    """A table written to a pipe has one line for each object, of any length."""
    lines = command("study", "trials", finished).stdout.splitlines()
    assert lines[0].split() == [
        "trial", "val", "acc", "learning_rate", "weight_decay", "model.activation", "fate", "verdict", "epochs",
    ]  # fmt: skip
    assert len(lines) == 13
    assert lines == [line.rstrip() for line in lines]
    (head, row) = command("study", "list").stdout.splitlines()
    assert head.startswith("study")
    assert row.startswith("flowers  finished  12 of 12")


def test_the_overview_is_for_people(command: Command, finished: str) -> None:
    """`study show` prints the study's progress, its best, its fates and its ledger."""
    shown = command("study", "show", finished).stdout
    assert shown.startswith("flowers: Finished: 12 of 12 trials")
    assert "\nBest so far: trial " in shown
    assert "\nfate " in shown
    assert "\nledger " in shown


def test_an_audit_is_shown(command: Command, study_file: Path) -> None:
    """`study show` reports how often stopping was wrong, judged by trials that ran on, to people and to programs."""
    study_file.write_text(study_file.read_text() + '[pruning]\nrank = "none"\naudit = 1.0\n')
    assert command("study", "create", str(study_file)).returncode == 0
    before = command("study", "show", "flowers")
    assert "\nAudit: no trial that diagnosis would have stopped has run on to its end yet.\n" in before.stdout
    assert strict_json(command("study", "show", "flowers", "--format", "json"))["audit"] == {
        "share": 1.0,
        "audited": 0,
        "in_best_tenth": 0,
        "false_stop_rate": None,
        "false_stop_rate_reason": "none_audited",
        "interval": [0.0, 1.0],
    }
    command("worker", "start", "--study", "flowers", "--exit-when-idle", "--cohort", "4")
    audit = strict_json(command("study", "show", "flowers", "--format", "json"))["audit"]
    low, high = audit["interval"]
    assert audit["audited"] > 0
    assert low <= audit["false_stop_rate"] == audit["in_best_tenth"] / audit["audited"] <= high
    (line,) = [line for line in command("study", "show", "flowers").stdout.splitlines() if "Audit" in line]
    assert f"{audit['in_best_tenth']} of {audit['audited']} trials that diagnosis would have stopped" in line
    assert "(95 % interval " in line


def test_without_an_audit_nothing_is_said_of_it(command: Command, finished: str) -> None:
    """A study that audits nothing has no line about it."""
    assert "Audit" not in command("study", "show", finished).stdout
    assert strict_json(command("study", "show", finished, "--format", "json"))["audit"]["share"] == 0


def test_the_overview_sums_up(command: Command, finished: str) -> None:
    """`study show` has fates by decade of learning rate and a sentence of advice, the same for people and programs."""
    shown = strict_json(command("study", "show", finished, "--format", "json"))
    lines = command("study", "show", finished).stdout.splitlines()
    decades = shown["fates_by_decade"]
    assert sum(decade["trials"] for decade in decades) == 12
    assert all(sum(decade["fates"].values()) == decade["trials"] for decade in decades)
    head = next(i for i, line in enumerate(lines) if line.startswith("learning_rate "))
    first = decades[0]
    assert lines[head + 1].split()[:4] == [
        f"1e{math.log10(first['low']):.0f}",
        "to",
        f"1e{math.log10(first['high']):.0f}",
        str(first["trials"]),
    ]
    assert shown["advice"]
    assert f"Advice: {shown['advice']}." in lines


def test_other_clients_studies_are_left_alone(command: Command, finished: str) -> None:
    """A study that another Optuna client made is listed and shown; commands that train are refused with the reason."""
    study = optuna.create_study(storage=f"sqlite:///{Path('default.db')}", study_name="theirs")
    study.optimize(lambda trial: trial.suggest_float("x", -1, 1) ** 2, n_trials=2)
    ended = command("study", "list", "--format", "json")
    made_by = [(study["name"], study["made_by"]) for study in strict_json(ended)]
    assert made_by == [(finished, "hpsearch"), ("theirs", "optuna")]
    assert "made by Optuna" in command("study", "list").stdout
    for looking in (("study", "show"), ("study", "best"), ("study", "trials"), ("report",)):
        assert command(*looking, "theirs").returncode == 0
    assert command("trial", "show", "theirs", "1").returncode == 0
    for changing in ("pause", "resume", "stop", "confirm", "narrow", "test", "run"):
        refused = command("study", changing, "theirs")
        assert (refused.returncode, "made by another Optuna client" in refused.stderr) == (1, True)
    renamed = command("study", "rename", "theirs", "others")
    assert (renamed.returncode, renamed.stderr) == (0, "")
    assert command("study", "delete", "others", "--yes").returncode == 0
    assert optuna.get_all_study_names(f"sqlite:///{Path('default.db')}") == [finished]


def test_steps_and_times_of_other_clients_studies_are_their_own(
    command: Command,
) -> None:
    """Curves begin at the step that was reported, and a time that is not stored is an empty cell, not 1970."""
    study = optuna.create_study(storage="sqlite:///default.db", study_name="theirs")
    study.enqueue_trial({"x": 0.5})
    for looking in (
        ("study", "list"),
        ("study", "show", "theirs"),
        ("report", "theirs", "--output", "r.html"),
    ):
        ended = command(*looking)
        assert (ended.returncode, "1970" in ended.stdout) == (0, False)
    assert "1970-01-01" not in Path("r.html").read_text()
    assert strict_json(command("study", "list", "--format", "json"))[0]["created"] is None
    trial = study.ask({"x": optuna.distributions.FloatDistribution(0, 1)})
    for step in range(3):
        trial.report(step / 2, step)
    study.tell(trial, 1.0)
    assert command("report", "theirs", "--output", "r.html").returncode == 0
    page = Path("r.html").read_text()
    assert ("no verdict</td>" in page, ">verdict</th>" in page) == (False, False)
    assert '"steps"' in drawings_of(page)
    shown = command("trial", "show", "theirs", "0").stdout.splitlines()
    assert "value by step" in shown
    assert shown[-1].split() == ["0", "2"]


def test_trials_that_other_clients_told_are_shown_as_such(command: Command, finished: str) -> None:
    """Unknown and missing parameters and impossible accuracies end no command; untrainable trials are named."""
    study = optuna.load_study(storage=f"sqlite:///{Path('default.db')}", study_name=finished)
    rate, other = (
        optuna.distributions.FloatDistribution(1e-7, 1e6, log=True),
        optuna.distributions.IntDistribution(0, 9),
    )
    for params, value in (
        ({"strange": 7}, 93.0),
        ({"learning_rate": 0.1}, 0.9999),
        ({}, -4.0),
        ({}, math.inf),
    ):
        chosen = {"learning_rate": rate, "strange": other}
        trial = optuna.trial.create_trial(
            params=params, distributions={name: chosen[name] for name in params}, value=value
        )
        study.add_trial(trial)
    for looking in (
        ("study", "list"),
        ("study", "show"),
        ("study", "best"),
        ("report",),
        ("study", "narrow"),
    ):
        assert command(*looking, *([] if looking[-1] == "list" else [finished])).returncode == 0
    assert "(another Optuna client's trial)" in command("study", "best", finished).stdout
    confirmed = command("study", "confirm", finished, "--best", "1", "--seeds", "2")
    assert (confirmed.returncode, "Left out: trial 12" in confirmed.stderr) == (0, True)
    refused = command("trial", "replay", finished, "12")
    assert (refused.returncode, "another program made it" in refused.stderr) == (1, True)


def test_optuna_sees_the_same_trials(command: Command, finished: str) -> None:
    """`optuna.load_study` has the same parameters and values."""
    trials = strict_json(command("study", "trials", finished, "--format", "json"))
    theirs = optuna.load_study(storage=f"sqlite:///{Path('default.db')}", study_name=finished).trials
    assert [trial.params for trial in theirs] == [trial["params"] for trial in trials]
    values = [None if t.value is None or not math.isfinite(t.value) else t.value for t in theirs]
    assert values == [trial["value"] for trial in trials]


def test_deleting_asks_first(command: Command, finished: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`study delete` deletes only after a yes, and only that study."""
    for reply in ("n\n", ""):
        monkeypatch.setattr("sys.stdin", Terminal(reply))
        ended = command("study", "delete", finished)
        assert (ended.returncode, ended.stdout.strip()) == (1, "")
        assert f'Delete the study "{finished}" with 12 trials' in ended.stderr
    assert command("study", "show", finished).returncode == 0
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    ended = command("study", "delete", finished)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == ('Error: Not deleting "flowers": there is no terminal to confirm. Add --yes.\n')
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    assert command("study", "delete", finished).returncode == 0
    assert strict_json(command("study", "list", "--format", "json")) == []


def test_deleting_says_who_trains(command: Command, study_file: Path, tmp_path: Path) -> None:
    """Trials that were in training are reported with their workers, even without a question."""
    assert command("study", "create", str(study_file)).returncode == 0
    with open_store(f"sqlite:///{tmp_path / 'default.db'}") as store:
        for process_id, (worker, count) in enumerate((("ann", 2), ("bob", 1))):
            store.workers.register(
                WorkerIdentity(name=worker, host="here", process_id=process_id, version="0.1.0")
            )
            store.queue.claim(store.studies.get("flowers"), worker=worker, count=count, lease_s=600.0)
    ended = command("study", "delete", "flowers", "--yes")
    assert ended.returncode == 0
    assert ended.stderr == "Warning: 3 trials were in training, by ann (2), bob (1): their work is lost\n"
