"""The same study from Python and from the command line: the same JSON."""

import json
import sys
from pathlib import Path
from subprocess import run
from typing import Any

import optuna

import hpsearch


def printed(*arguments: str) -> Any:
    """Return the JSON that a command prints."""
    command = [sys.executable, "-m", "hpsearch", *arguments, "--format", "json"]
    return json.loads(run(command, capture_output=True, text=True, check=True).stdout)


def test_a_study_is_the_same_json(lesson: hpsearch.Study) -> None:
    """`to_dict`, `best_dicts` and the trials' `to_dict` are what `study show`, `study best` and `trial show` print."""
    lesson.confirm(best=2, seeds=2)
    lesson.test(seeds=2)
    of = ("--storage", lesson.storage)
    assert lesson.to_dict() == printed("study", "show", "lesson", *of)
    assert lesson.best_dicts(3) == printed("study", "best", "lesson", "--count", "3", *of)
    assert lesson.best_trial.to_dict() == printed(
        "trial", "show", "lesson", str(lesson.best_trial.number), *of
    )


def test_a_replay_is_the_same_json(lesson: hpsearch.Study) -> None:
    """`to_dict` of a replay is what `trial replay` prints, besides the page that the command writes."""
    trial = lesson.best_trial
    shown = printed(
        "trial",
        "replay",
        "lesson",
        str(trial.number),
        "--set",
        "learning_rate=100.0",
        "--storage",
        lesson.storage,
    )
    assert Path(shown.pop("page")).exists()
    assert trial.replay({"learning_rate": 100.0}).to_dict() == shown


def test_a_study_made_from_python_is_that_of_the_command_line(lesson: hpsearch.Study) -> None:
    """A study from keyword arguments equals the one from a study file, and so do their trials' numbers."""
    lesson_file = Path("lesson.toml")
    lesson_file.write_text(
        """
        name = "lesson"
        trials = 40
        [data]
        source = "digits"
        test_fraction = 0.2
        [model]
        hidden = [16]
        [training]
        epochs = 3
        [search]
        learning_rate = { low = 1e-3, high = 30.0, log = true }
        [sampler]
        name = "random"
        [pruning]
        rank = "none"
        """
    )
    same = hpsearch.create_study(lesson_file, storage=lesson.storage)
    assert same.to_dict() == lesson.to_dict()
    again = hpsearch.create_study(lesson_file, name="again", storage=lesson.storage).run()
    for one, other in zip(lesson.trials, again.trials, strict=True):
        assert (one.params, one.value, one.curves) == (other.params, other.value, other.curves)


def test_a_diagnosis_is_the_same_json() -> None:
    """`to_dict` of a diagnosis is what `diagnose` prints."""
    diagnosis = hpsearch.diagnose("digits", learning_rate=30.0, epochs=5)
    shown = printed("diagnose", "digits", "--set", "learning_rate=30", "--set", "training.epochs=5")
    assert diagnosis.to_dict() == shown


def test_a_study_of_optuna_is_the_same_json() -> None:
    """A study that Optuna made is read, with the same JSON as the command line's."""
    url = "sqlite:///theirs.db"
    theirs = optuna.create_study(study_name="theirs", storage=url)
    theirs.optimize(lambda trial: trial.suggest_float("x", -1.0, 1.0) ** 2, n_trials=3)
    study = hpsearch.load_study("theirs", storage=url)
    assert study.to_dict() == printed("study", "show", "theirs", "--storage", url)
    assert (study.best_params, study.best_value) == (theirs.best_params, theirs.best_value)
    assert study.direction == "minimize"
