"""The docstrings of the public names: each has an example, and every example is true."""

import doctest
import inspect
from collections.abc import Iterator
from typing import Any

import optuna
import pytest
import sklearn.datasets

import hpsearch
from hpsearch.api.diagnosis import HealingResult
from hpsearch.api.search_result import SearchResult
from hpsearch.api.studies import NarrowedSearch
from hpsearch.api.trials import RecordedTraining, TrialReplay

CLASSES = (
    hpsearch.Study,
    hpsearch.Trial,
    hpsearch.Verdict,
    hpsearch.Diagnosis,
    HealingResult,
    hpsearch.Model,
    hpsearch.Progress,
    NarrowedSearch,
    RecordedTraining,
    TrialReplay,
    hpsearch.Range,
    hpsearch.Choices,
    SearchResult,
    hpsearch.sklearn.HpsearchClassifier,
    hpsearch.sklearn.HpsearchRegressor,
    hpsearch.ObjectiveTrial,
)
FUNCTIONS = (
    hpsearch.create_study,
    hpsearch.load_model,
    hpsearch.load_study,
    hpsearch.delete_study,
    hpsearch.get_all_study_names,
    hpsearch.import_studies,
    hpsearch.diagnose,
    hpsearch.fleet,
    hpsearch.data_cache,
    hpsearch.open_storage,
)
ERRORS = (
    hpsearch.HpsearchError,
    hpsearch.DataError,
    hpsearch.StorageError,
    hpsearch.StudyExistsError,
    hpsearch.StudyFileError,
    hpsearch.StudyNotFoundError,
    hpsearch.UsageError,
    hpsearch.TrialStopped,
)


def documented() -> Iterator[tuple[str, Any]]:
    """Yield the functions, the classes, and their own public methods and properties, by dotted name."""
    for function in FUNCTIONS:
        yield function.__name__, function
    for error in ERRORS:
        yield error.__name__, error
    for kind in CLASSES:
        yield kind.__name__, kind
        for name, member in vars(kind).items():
            is_one = inspect.isfunction(member) or isinstance(member, property)
            if is_one and not name.startswith("_"):
                yield f"{kind.__name__}.{name}", member


DOCUMENTED = dict(documented())


def examples(thing: Any, name: str) -> list[doctest.DocTest]:
    """Return the examples of one docstring."""
    finder = doctest.DocTestFinder(recurse=False)
    return [test for test in finder.find(thing, name, module=False, globs={}) if test.examples]


@pytest.mark.parametrize("name", [name for name, thing in DOCUMENTED.items() if examples(thing, name)])
def test_the_examples_of_docstrings_are_true(name: str, lesson: hpsearch.Study) -> None:
    """Each example gives what it shows, in a folder with the database of the study `lesson`."""
    (test,) = examples(DOCUMENTED[name], name)
    test.globs = {"hpsearch": hpsearch, "optuna": optuna, "sklearn": sklearn, "study": lesson}
    output: list[str] = []
    runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS)
    runner.run(test, out=output.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(output)


@pytest.mark.parametrize("name", DOCUMENTED)
def test_every_public_name_has_a_docstring(name: str) -> None:
    """Functions, classes, methods and properties have a first line that describes them."""
    assert (inspect.getdoc(DOCUMENTED[name]) or "").split("\n")[0].endswith((".", ":"))


@pytest.mark.parametrize("thing", [*FUNCTIONS, *CLASSES, *ERRORS], ids=lambda thing: thing.__name__)
def test_every_public_function_and_class_has_an_example(thing: Any) -> None:
    """What `hpsearch` exports, and what its methods return, shows its use."""
    assert examples(thing, thing.__name__)
