"""Errors from Python: the texts of the command line, and tracebacks that end at the call."""

import contextlib
import io
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

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
        (lambda: iris().run(workers=0), "workers: must be at least 1 (got 0)"),
        (lambda: iris().confirm(seeds=1), "seeds: must be at least 2 (got 1)"),
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


def test_a_data_frame_needs_pandas(monkeypatch: pytest.MonkeyPatch, lesson: hpsearch.Study) -> None:
    """Without pandas the error contains the command that installs it."""
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(hpsearch.HpsearchError, match=r"needs pandas, which is not installed: .*pip install"):
        lesson.trials_dataframe()
