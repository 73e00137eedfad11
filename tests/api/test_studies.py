"""Studies from Python: how they are made, found and changed."""

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest

import hpsearch
from hpsearch.study.reader import parse_study
from hpsearch.study.spec import with_target_scale

URL = "sqlite:///studies.db"
FLOWERS = """
name = "flowers"
trials = 5
[data]
source = "iris"
[model]
hidden = [8]
activation = "tanh"
[search]
learning_rate = { low = 1e-3, high = 1.0, log = true }
"training.batch_size" = { low = 8, high = 32 }
"model.hidden" = { choices = [[8], [4, 4]] }
"model.initializer" = { choices = ["he", { normal = 0.1 }] }
"""


def test_keyword_arguments_are_a_study_file() -> None:
    """The same study from a file and from keyword arguments is one study: the second call returns the first."""
    Path("flowers.toml").write_text(FLOWERS)
    from_file = hpsearch.create_study("flowers.toml", storage=URL)
    from_python = hpsearch.create_study(
        "flowers",
        data="iris",
        model={"hidden": [8], "activation": "tanh"},
        search={
            "learning_rate": hpsearch.Range(1e-3, 1.0, log=True),
            "training.batch_size": hpsearch.Range(8, 32),
            "model.hidden": hpsearch.Choices([[8], (4, 4)]),
            "model.initializer": hpsearch.Choices(["he", {"normal": 0.1}]),
        },
        trials=5,
        storage=URL,
    )
    assert from_python.to_dict() == from_file.to_dict()


def test_keyword_arguments_replace_the_keys_of_a_file() -> None:
    """Tables replace single keys, `search` replaces the whole search, and paths are found next to the file."""
    folder = Path("elsewhere")
    folder.mkdir()
    np.savez(folder / "data.npz", x=np.eye(200), y=np.arange(200) % 2)
    (folder / "flowers.toml").write_text(FLOWERS.replace('"iris"', '"data.npz"'))
    study = hpsearch.create_study(
        folder / "flowers.toml",
        name="other",
        model={"hidden": [2]},
        search={"learning_rate": hpsearch.Range(0.1, 0.2)},
        storage=URL,
    )
    expected = parse_study(
        """
        name = "other"
        trials = 5
        [data]
        source = "PATH"
        task = "classification"
        [model]
        hidden = [2]
        activation = "tanh"
        [search]
        learning_rate = { low = 0.1, high = 0.2 }
        """.replace("PATH", str((folder / "data.npz").absolute())),
        source="expected",
    )
    stored = study._study.spec
    assert (stored.model.hidden, stored.model.activation) == ((2,), "tanh")
    assert (stored.data, stored.search) == (with_target_scale(expected).data, expected.search)


def test_numbers_of_numpy_are_numbers() -> None:
    """Values may be numbers of NumPy, as they come out of a computation."""
    study = hpsearch.create_study(
        name="numpy",
        data="iris",
        model={"hidden": list(np.array([4, 8]))},
        training={"learning_rate": np.float64(0.5)},
        search={"weight_decay": hpsearch.Range(*np.geomspace(1e-4, 1e-1, 2), log=True)},
        trials=3,
        storage=URL,
    )
    assert study._study.spec.model.hidden == (4, 8)


def test_exact_configurations_are_trained() -> None:
    """A list of configurations stands in place of a search."""
    study = hpsearch.create_study(
        name="exact",
        data="iris",
        training={"epochs": 1},
        configurations=[{"name": "small", "model.hidden": [4]}, {"name": "wide", "model.hidden": [16]}],
        trials=2,
        storage=URL,
    ).run(workers=1)
    assert [trial.params for trial in study.trials] == [{"model.hidden": "[4]"}, {"model.hidden": "[16]"}]


def test_the_same_call_leaves_the_budget_alone() -> None:
    """A cell of a notebook that is run again does not take back a budget that was raised since."""
    for _ in range(2):
        study = hpsearch.create_study(name="cell", data="iris", training={"epochs": 1}, trials=2, storage=URL)
        study.edit(trials=4)
    assert study.progress.budget == 4
    assert (
        hpsearch.create_study(name="cell", data="iris", training={"epochs": 1}, storage=URL).progress.budget
        == 4
    )


def test_a_narrowed_search_can_be_changed_and_used(lesson: hpsearch.Study) -> None:
    """The ranges of a proposal are those that `create_study` takes."""
    narrowed = lesson.narrow()
    assert all(len(reasons) == 2 for reasons in narrowed.reasons.values())
    study = hpsearch.create_study(
        "digits", name="narrow", search=narrowed.search, storage=lesson.storage, trials=1
    )
    assert study._study.spec.search == tuple(narrowed.search.values())


def test_a_range_of_whole_numbers_can_be_used_again() -> None:
    """A range of a stored study has its bounds as floating-point numbers, and stays one of whole numbers."""
    search = {"training.batch_size": hpsearch.Range(8, 32, step=8)}
    first = hpsearch.create_study(name="first", data="iris", search=search, storage=URL)
    again = {dimension.name: dimension for dimension in first._study.spec.search}
    second = hpsearch.create_study(name="second", data="iris", search=again, storage=URL)
    assert second._study.spec.search == first._study.spec.search


def test_the_parameters_of_a_trial_can_be_enqueued() -> None:
    """A list of widths is enqueued as a list, or as the text in which a trial has it."""
    study = hpsearch.create_study(
        name="queue",
        data="iris",
        search={"model.hidden": hpsearch.Choices([[4], [4, 4]]), "learning_rate": hpsearch.Range(0.1, 1.0)},
        storage=URL,
    )
    first = study.enqueue({"model.hidden": [4, 4], "training.learning_rate": np.float64(0.5)})
    given = first.to_dict()["given"]
    assert given == {"model.hidden": "[4, 4]", "learning_rate": 0.5}
    assert study.enqueue(given).to_dict()["given"] == given


def test_warnings_are_on_the_study() -> None:
    """What is wrong with the data or the fixed values is known ahead of any training."""
    study = hpsearch.create_study(
        name="faulty", data={"source": "diabetes", "fault": "constant_inputs"}, trials=1, storage=URL
    )
    assert study.warnings[0] == "data.fault: every example has the inputs of the first one, on purpose"


def test_a_trial_outlives_its_study(lesson: hpsearch.Study) -> None:
    """A trial keeps the database open that its curves are read from."""
    trial = hpsearch.load_study("lesson", storage=lesson.storage).best_trial
    assert len(trial.curves["training_loss"]) == 3


def test_a_deleted_study_still_has_a_text(lesson: hpsearch.Study) -> None:
    """What shows an object of a study that is gone does not fail."""
    hpsearch.delete_study("lesson", storage=lesson.storage)
    assert repr(lesson) == '<Study "lesson" in sqlite:///lesson.db>'
    with pytest.raises(hpsearch.StudyNotFoundError):
        _ = lesson.trials


def test_a_study_follows_its_name(lesson: hpsearch.Study) -> None:
    """Another object of the same study sees the new name."""
    other = hpsearch.load_study("lesson", storage=lesson.storage)
    lesson.rename("renamed")
    assert len(other.trials) == 40
    assert other.name == "renamed"


def test_the_default_database_is_that_of_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `storage`, the environment variable decides, and else the file below the current folder."""
    hpsearch.create_study("digits", trials=1)
    assert Path("default.db").exists()
    monkeypatch.delenv("HPSEARCH_STORAGE")
    assert hpsearch.get_all_study_names() == []
    with pytest.raises(hpsearch.StorageError, match="there is no such file"):
        hpsearch.load_study("digits")
    hpsearch.create_study("digits", trials=1)
    assert hpsearch.get_all_study_names("sqlite:///storage/hpsearch.db") == ["digits"]


def test_trials_are_equal_if_they_are_the_same(lesson: hpsearch.Study) -> None:
    """Reading a trial again gives an equal object; another trial, or that of a copied study, is another."""
    first, second, *_ = lesson.trials
    assert first == lesson.trials[0]
    assert first != second
    assert lesson.copy("twin").trials[0] != first
    assert len({*lesson.trials, *lesson.trials}) == len(lesson.trials)


def test_a_study_and_its_trials_can_be_copied_and_pickled(lesson: hpsearch.Study) -> None:
    """A copy in another process opens the database again."""
    for copied in (copy.deepcopy(lesson), pickle.loads(pickle.dumps(lesson))):
        assert copied.to_dict() == lesson.to_dict()
    trial = pickle.loads(pickle.dumps(lesson.trials[0]))
    assert trial.curves == lesson.trials[0].curves
