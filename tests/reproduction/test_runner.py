"""Outcomes that are kept: whole, and found again only if nothing has changed."""

import math
from dataclasses import replace
from pathlib import Path

from hpsearch.reproduction.charts import Drawing, Picture
from hpsearch.reproduction.laboratory import Lab, Outcome
from hpsearch.reproduction.runner import keep, kept, key_of

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


def test_an_outcome_comes_back_as_it_was(tmp_path: Path) -> None:
    """Numbers, infinity among them, figures and lines are kept, in a folder that is made for them."""
    folder = tmp_path / "new"
    keep(folder, OUTCOME, LAB, "key")
    assert kept(folder, "losses", LAB, "key") == OUTCOME
    assert [path.suffix for path in folder.iterdir()] == [".json"]


def test_what_cannot_be_kept_says_why(tmp_path: Path) -> None:
    """A folder that is none, and a place that is taken by one, are told; nothing half written is left there."""
    (tmp_path / "file").touch()
    assert keep(tmp_path / "file", OUTCOME, LAB, "key").endswith("losses-digits-small-1.json: File exists")
    assert keep(tmp_path, OUTCOME, LAB, "key") == ""
    (path,) = tmp_path.glob("*.json")
    path.unlink()
    path.mkdir()
    assert keep(tmp_path, OUTCOME, LAB, "key") == f"{path}: Is a directory"
    assert sorted(tmp_path.iterdir()) == [tmp_path / "file", path]


def test_another_key_or_a_broken_file_is_as_if_nothing_were_kept(tmp_path: Path) -> None:
    """What was made from other data or by another program, or is cut off, is not taken."""
    assert kept(tmp_path, "losses", LAB, "key") is None
    keep(tmp_path, OUTCOME, LAB, "key")
    assert kept(tmp_path, "losses", LAB, "other") is None
    assert kept(tmp_path, "losses", replace(LAB, seed=2), "key") is None
    (path,) = tmp_path.iterdir()
    path.write_text(path.read_text()[:40])
    assert kept(tmp_path, "losses", LAB, "key") is None


def test_the_key_knows_what_matters() -> None:
    """Another study, seed, size or data make another key, and nothing else does."""
    key = key_of("losses", LAB, "digest")
    assert key == key_of("losses", LAB, "digest")
    others = {
        key_of("initial-weights", LAB, "digest"),
        key_of("losses", replace(LAB, seed=2), "digest"),
        key_of("losses", replace(LAB, size="quick"), "digest"),
        key_of("losses", LAB, "other"),
    }
    assert len(others | {key}) == 5
