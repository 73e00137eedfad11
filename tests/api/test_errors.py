"""Errors from Python: the texts of the command line, and tracebacks that end at the call."""

import contextlib
import io
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hpsearch
from hpsearch.cli import main

URL = "sqlite:///errors.db"
BAD_FILE = """
name = "bad"
[data]
source = "digits"
[search]
learning_rate = { low = 0.0, high = 1.0, log = true }
[training]
optimiser = "sgd"
"""


def command_error(*arguments: str) -> str:
    """Return the error that a command prints."""
    with contextlib.redirect_stderr(io.StringIO()) as errors, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["hpsearch", *arguments])
        assert main._run() in (1, 2)
    return errors.getvalue().removeprefix("Error: ").removesuffix("\n")


def iris(name: str = "iris") -> hpsearch.Study:
    """Return a small study."""
    return hpsearch.create_study(name=name, data="iris", trials=2, storage=URL)


CALLS: dict[str, tuple[Callable[[], object], tuple[str, ...]]] = {
    "a study file with problems": (
        lambda: hpsearch.create_study("bad.toml", storage=URL),
        ("study", "create", "bad.toml", "--storage", URL),
    ),
    "a missing file": (
        lambda: hpsearch.create_study("missing.toml", storage=URL),
        ("study", "create", "missing.toml", "--storage", URL),
    ),
    "an unknown study": (
        lambda: hpsearch.load_study("irsi", storage=URL),
        ("study", "show", "irsi", "--storage", URL),
    ),
    "a deletion of an unknown study": (
        lambda: hpsearch.delete_study("irsi", storage=URL),
        ("study", "delete", "irsi", "--yes", "--storage", URL),
    ),
    "another database": (
        lambda: hpsearch.load_study("iris", storage="sqlite:///bad.toml"),
        ("study", "show", "iris", "--storage", "sqlite:///bad.toml"),
    ),
    "no URL": (
        lambda: hpsearch.load_study("iris", storage="errors.db"),
        ("study", "show", "iris", "--storage", "errors.db"),
    ),
    "a sealed test part that is missing": (
        lambda: hpsearch.load_study("iris", storage=URL).test(),
        ("study", "test", "iris", "--yes", "--storage", URL),
    ),
    "nothing to confirm": (
        lambda: hpsearch.load_study("iris", storage=URL).confirm(),
        ("study", "confirm", "iris", "--storage", URL),
    ),
    "too few trials to narrow by": (
        lambda: hpsearch.load_study("iris", storage=URL).narrow(),
        ("study", "narrow", "iris", "--storage", URL),
    ),
    "a value that is not searched": (
        lambda: hpsearch.load_study("iris", storage=URL).enqueue({"momentum": 0.5}),
        ("trial", "enqueue", "iris", "--set", "momentum=0.5", "--storage", URL),
    ),
    "missing data": (
        lambda: hpsearch.diagnose("digits", data="missing.csv"),
        ("diagnose", "digits", "--data", "missing.csv"),
    ),
}


@pytest.mark.parametrize("case", CALLS)
def test_an_error_has_the_text_of_the_command_line(case: str) -> None:
    """The same mistake gives the same text; the traceback ends in the call, and no inner error is chained."""
    Path("bad.toml").write_text(BAD_FILE)
    iris()
    call, arguments = CALLS[case]
    with pytest.raises(hpsearch.HpsearchError) as caught:
        call()
    assert str(caught.value) == command_error(*arguments)
    frames = traceback.extract_tb(caught.value.__traceback__)
    assert len(frames) <= 3 + 1  # the frame of this function is not of the package
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_taken_name_is_an_error_unless_it_is_the_same_study() -> None:
    """The same study is returned; another search of the name is an error, or is loaded as in Optuna."""
    study = iris()
    assert iris().to_dict() == study.to_dict()
    with pytest.raises(hpsearch.StudyExistsError, match=r"data\.source"):
        hpsearch.create_study(name="iris", data="wine", storage=URL)
    loaded = hpsearch.create_study(name="iris", data="wine", storage=URL, load_if_exists=True)
    assert loaded.to_dict() == study.to_dict()
    with pytest.raises(hpsearch.StudyExistsError, match="must not exist yet"):
        hpsearch.create_study(name="iris", data="iris", storage=URL, load_if_exists=False)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (
            lambda: hpsearch.create_study(
                name="x",
                data="iris",
                model={"hiden": [8]},  # type: ignore[arg-type]
                storage=URL,
            ),
            'model.hiden: unknown key; did you mean "hidden"?',
        ),
        (
            lambda: hpsearch.create_study(
                name="x",
                data="iris",
                search={"learning_rate": [0.1, 1.0]},  # type: ignore[dict-item]
                storage=URL,
            ),
            "search.learning_rate: must be hpsearch.Range or hpsearch.Choices (got [0.1, 1.0])",
        ),
        (lambda: hpsearch.create_study(name="x", storage=URL), "data.source: must be given"),
        (lambda: hpsearch.create_study(data="iris", storage=URL), "name: must be given"),
        (
            lambda: hpsearch.create_study(name="x", data="iris", direction="minimize", storage=URL),
            'direction: must be maximize for the metric validation_accuracy (got "minimize")',
        ),
        (
            lambda: hpsearch.diagnose("digits", hiden=[8]),  # type: ignore[call-overload]
            "hiden: must be a field of [model] or [training]",
        ),
        (hpsearch.diagnose, "diagnose: needs a study file, data=, or arrays"),
        (lambda: iris().run(workers=0), "workers: must be a whole number from 1 to 1000 (got 0)"),
        (lambda: iris().confirm(seeds=1), "seeds: must be a whole number from 2 to 1000 (got 1)"),
        (lambda: iris().edit(), "needs a value to set"),
        (lambda: iris().best_trial, "must have a complete trial with a finite result"),
        (lambda: iris().figure("serach-map"), 'did you mean "search-map"?'),
        (
            lambda: iris().figure("learning-curves"),
            "there is nothing to draw: No trial has finished an epoch yet.",
        ),
    ],
)
def test_a_wrong_argument_is_explained(call: Callable[[], object], text: str) -> None:
    """Mistakes that only Python allows have messages with the name, the rule and the value.

    The comments show which of them a type checker and an editor report.
    """
    with pytest.raises(hpsearch.HpsearchError) as caught:
        call()
    assert text in str(caught.value)


def wrong_types() -> dict[str, list[Callable[[Any], object]]]:
    """Return calls that take one argument of a wrong type, by the start of their error."""
    study = iris()
    trial = study.enqueue({"learning_rate": 0.1})
    return {
        "trials: must be": [
            study.run,
            lambda wrong: study.edit(trials=wrong),
            lambda wrong: study.figure("comparison-training-loss", trials=wrong),
            lambda wrong: study.report(trials=wrong),
        ],
        "workers: must be": [lambda wrong: study.run(workers=wrong)],
        "cohort: must be": [lambda wrong: study.run(cohort=wrong)],
        "rounds: must be": [lambda wrong: study.run(rounds=wrong)],
        "priority: must be": [lambda wrong: study.edit(priority=wrong)],
        "best: must be": [study.confirm],
        "seeds: must be": [lambda wrong: study.confirm(seeds=wrong), lambda wrong: study.test(seeds=wrong)],
        "trial: must be": [study.test],
        "count: must be": [study.best_dicts],
        "epochs: must be": [lambda wrong: trial.replay(epochs=wrong)],
        "settings: must be": [trial.replay],
        "params: must be": [study.enqueue],
        "compare: must be": [
            lambda wrong: study.report(compare=wrong),
            lambda wrong: hpsearch.Study.figure(study, compare=wrong),
        ],
        "names: must be": [lambda wrong: hpsearch.import_studies("exported.db", names=wrong, storage=URL)],
        "figure: must be": [study.figure],
        "report: must be": [study.report],
        "export: must be": [study.export],
        "path: must be": [
            lambda wrong: hpsearch.import_studies(wrong, storage=URL),
            hpsearch.load_model,
        ],
        "name: must be": [
            lambda wrong: hpsearch.load_study(wrong, storage=URL),
            lambda wrong: hpsearch.delete_study(wrong, storage=URL),
        ],
        "storage: must be": [hpsearch.get_all_study_names],
        "study: must be": [lambda wrong: hpsearch.create_study(wrong, storage=URL)],
        "model: must be": [lambda wrong: hpsearch.create_study("digits", model=wrong, storage=URL)],
        "training: must be": [lambda wrong: hpsearch.create_study("digits", training=wrong, storage=URL)],
        "sampler: must be": [lambda wrong: hpsearch.create_study("digits", sampler=wrong, storage=URL)],
        "pruning: must be": [lambda wrong: hpsearch.create_study("digits", pruning=wrong, storage=URL)],
        "configurations: must be": [
            lambda wrong: hpsearch.create_study("digits", configurations=wrong, storage=URL)
        ],
        "Choices: must be": [hpsearch.Choices, lambda wrong: hpsearch.Choices([wrong])],
    }


@pytest.mark.parametrize("wrong", [2.5, object(), {1: 2}, b"\xff"])
def test_a_value_of_a_wrong_type_is_refused_and_changes_nothing(wrong: object) -> None:
    """Every argument of a wrong type gets an error of ours with its name, and the stored study stays as it is."""
    for start, calls in wrong_types().items():
        for call in calls:
            if start == "Choices: must be" and isinstance(wrong, float | dict | bytes):
                continue  # a table of one value is a choice, and a list of them is checked with the study
            before = hpsearch.load_study("iris", storage=URL).to_dict()
            with pytest.raises(hpsearch.HpsearchError) as caught:
                call(wrong)
            assert str(caught.value).startswith(start)
            assert hpsearch.load_study("iris", storage=URL).to_dict() == before


@pytest.mark.parametrize("trials", [5.5, True, "5", 10**30, -1])
def test_a_budget_that_is_no_whole_number_is_not_stored(trials: Any) -> None:
    """SQLite stores anything in a column of integers: such a budget would make the study unreadable."""
    study = iris()
    for change in (lambda: study.run(trials, workers=1), lambda: study.edit(trials=trials, priority=1)):
        with pytest.raises(hpsearch.UsageError, match=r"^trials: must be a whole number from 1 to 10000000 "):
            change()
    study.edit(trials=np.int64(3))  # type: ignore[arg-type]
    assert hpsearch.load_study("iris", storage=URL).progress.budget == 3


def test_a_path_that_no_file_can_have_is_refused(lesson: hpsearch.Study) -> None:
    """A NUL in a path ended in a ValueError of Python."""
    for call in (lesson.report, lesson.export, lesson.best_trial.model().save, hpsearch.load_model):
        with pytest.raises(hpsearch.UsageError, match="must be the path of a file"):
            call("a\0b.npz")


def test_numpy_integers_are_whole_numbers() -> None:
    """A budget and a seed may be NumPy's, as widths may."""
    numbers: Any = {"trials": np.int64(3), "seed": np.uint8(4)}
    study = hpsearch.create_study(name="n", data="iris", storage=URL, **numbers)
    assert study.progress.budget == 3


def test_a_data_frame_needs_pandas(monkeypatch: pytest.MonkeyPatch, lesson: hpsearch.Study) -> None:
    """Without pandas the error contains the command that installs it."""
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(hpsearch.HpsearchError, match=r"needs pandas, which is not installed: .*pip install"):
        lesson.trials_dataframe()
