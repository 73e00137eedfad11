"""A small study that is run once, and a copy of its database for each test."""

import os
import shutil
from pathlib import Path

import pytest

import hpsearch

LESSON_URL = "sqlite:///lesson.db"


@pytest.fixture(scope="session")
def lesson_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an SQLite file with the study `lesson`: 40 trials of 3 epochs, all ended, and a sealed test part."""
    path = tmp_path_factory.mktemp("lesson") / "lesson.db"
    hpsearch.create_study(
        name="lesson",
        data={"source": "digits", "test_fraction": 0.2},
        model={"hidden": [16]},
        training={"epochs": 3},
        search={"learning_rate": hpsearch.Range(1e-3, 30.0, log=True)},
        sampler="random",
        pruning={"rank": "none"},
        trials=40,
        storage=f"sqlite:///{path}",
    ).run(workers=1)
    return path


@pytest.fixture
def lesson(lesson_file: Path, tmp_path: Path) -> hpsearch.Study:
    """Return the study `lesson` in a database of the test's own, `lesson.db` in the current folder."""
    shutil.copy(lesson_file, tmp_path / "lesson.db")
    assert Path.cwd() == tmp_path
    assert "HPSEARCH_STORAGE" in os.environ
    return hpsearch.load_study("lesson", storage=LESSON_URL)
