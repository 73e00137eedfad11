"""Stored outcomes: complete, and found again only if nothing has changed."""

import math
from dataclasses import replace
from pathlib import Path

from hpsearch.reproduction.charts import Drawing, Picture
from hpsearch.reproduction.laboratory import Lab, Outcome
from hpsearch.reproduction.runner import load_outcome, outcome_key, store_outcome

LAB = Lab(source="digits", size="small", seed=1)
OUTCOME = Outcome(
    study="losses",
    values={"a": (1.0, math.inf), "b": (0.1,)},
    pictures=(
        Picture(
            name="p",
            title="t",
            caption="c",
            drawings=(Drawing(name="d", label="l", figure={"data": [], "layout": {"height": 3}}),),
        ),
    ),
    lines={"title": ("line",)},
    seconds=2.5,
)


def test_an_outcome_is_loaded_as_it_was_stored(tmp_path: Path) -> None:
    """Numbers, infinity among them, figures and lines are stored, in a folder that is created."""
    folder = tmp_path / "new"
    store_outcome(folder, OUTCOME, LAB, "key")
    assert load_outcome(folder, "losses", LAB, "key") == OUTCOME
    assert [path.suffix for path in folder.iterdir()] == [".json"]


def test_a_failed_write_is_reported(tmp_path: Path) -> None:
    """If the folder is a file, or the file a folder, the error is returned, and no partial file is left."""
    (tmp_path / "file").touch()
    assert store_outcome(tmp_path / "file", OUTCOME, LAB, "key").endswith(
        "losses-digits-small-1.json: File exists"
    )
    assert store_outcome(tmp_path, OUTCOME, LAB, "key") == ""
    (path,) = tmp_path.glob("*.json")
    path.unlink()
    path.mkdir()
    assert store_outcome(tmp_path, OUTCOME, LAB, "key") == f"{path}: Is a directory"
    assert sorted(tmp_path.iterdir()) == [tmp_path / "file", path]


def test_another_key_or_a_broken_file_is_not_loaded(tmp_path: Path) -> None:
    """An outcome of other data or another program, or a truncated file, is not loaded."""
    assert load_outcome(tmp_path, "losses", LAB, "key") is None
    store_outcome(tmp_path, OUTCOME, LAB, "key")
    assert load_outcome(tmp_path, "losses", LAB, "other") is None
    assert load_outcome(tmp_path, "losses", replace(LAB, seed=2), "key") is None
    (path,) = tmp_path.iterdir()
    path.write_text(path.read_text()[:40])
    assert load_outcome(tmp_path, "losses", LAB, "key") is None


def test_the_key_covers_everything_that_matters() -> None:
    """Another study, seed, size or data gives another key, and nothing else does."""
    key = outcome_key("losses", LAB, "digest")
    assert key == outcome_key("losses", LAB, "digest")
    others = {
        outcome_key("initial-weights", LAB, "digest"),
        outcome_key("losses", replace(LAB, seed=2), "digest"),
        outcome_key("losses", replace(LAB, size="quick"), "digest"),
        outcome_key("losses", LAB, "other"),
    }
    assert len(others | {key}) == 5
