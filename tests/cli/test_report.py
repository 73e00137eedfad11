"""`hpsearch report`: the whole report, and single figures of it."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from hpsearch.report.best_card import best_card
from hpsearch.storage.store import open_store
from hpsearch.workflows.snapshot import take_snapshot

Command = Callable[..., CompletedProcess[str]]


def best_number(command: Command, name: str) -> int:
    """Return the number of the best trial."""
    listed: list[dict[str, Any]] = json.loads(command("study", "best", name, "--format", "json").stdout)
    return int(listed[0]["number"])


@pytest.fixture
def second(command: Command, finished: str, study_file: Path) -> str:
    """Return the name of another study of the same data in the database of the finished one, without trials."""
    assert command("study", "create", str(study_file), "--name", "second").returncode == 0
    return "second"


def test_a_report_compares_what_it_is_asked_to(command: Command, finished: str, second: str) -> None:
    """Named trials and studies are in the page, and its path is the answer."""
    ended = command("report", finished, "--trials", "0,1", "--compare", second, "--output", "r.html")
    assert (ended.returncode, ended.stdout) == (0, "r.html\n")
    page = Path("r.html").read_text(encoding="utf-8")
    assert "Trial 0, trial 1, epoch by epoch" in page
    assert "second: no trial is complete with a finite result yet." in page
    assert f"hpsearch trial replay flowers {best_number(command, finished)}" in page


def test_a_figure_is_a_file_of_its_own(command: Command, finished: str) -> None:
    """Without --output a figure is written next to the report, under the names of both; its JSON is strict."""
    ended = command("report", finished, "--figure", "ledger", "--format", "json")
    assert ended.returncode == 0
    path = Path(ended.stdout.strip())
    assert path.name == "flowers-ledger.json"
    shown = json.loads(path.read_text(), parse_constant=pytest.fail)
    assert set(shown) == {"data", "layout"}
    ended = command("report", finished, "--figure", "best-so-far", "--output", "best.html")
    assert (ended.returncode, ended.stdout) == (0, "best.html\n")
    assert "best-so-far-epochs" in Path("best.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--figure", "ledgr"), 2, '(got "ledgr"): name one of them; did you mean "ledger"?'),
        (("--figure", "../x"), 2, '(got "../x"): name one of them'),
        (
            ("--figure", "best-so-far", "--format", "png"),
            2,
            "name one of best-so-far-trials, best-so-far-epochs",
        ),
        (("--figure", "ledger", "--publish"), 2, "--publish: is for the whole report (got --figure ledger)"),
        (("--figure", "studies"), 1, "to draw: No other study was named: add one with `hpsearch report NAME"),
        (("--format", "svg"), 2, "--format svg: is for a single figure (got no --figure): name one"),
        (("--trials", "1"), 2, "--trials: must be 2 to 6 different trials (got 1): write 3,17,42"),
        (("--trials", "0,99"), 1, 'study "flowers": has no trial 99 (got 0,99)'),
        (
            ("--compare", "flowers"),
            2,
            '--compare: must be another study (got "flowers" itself): name another',
        ),
        (("--compare", "none"), 1, "none"),
    ],
)
def test_what_cannot_be_shown_is_refused(
    command: Command, finished: str, arguments: tuple[str, ...], code: int, words: str
) -> None:
    """A request that does not fit the study is an error with the reason, and leaves an existing report unchanged."""
    Path("r.html").write_text("old")
    ended = command("report", finished, *arguments, "--output", "r.html")
    assert (ended.returncode, ended.stdout) == (code, "")
    assert words in ended.stderr
    assert Path("r.html").read_text() == "old"


def test_a_report_is_published_for_optunas_dashboard(command: Command, finished: str) -> None:
    """The output is the report's path and the notes written to the database; a second call finds them present."""
    # The note of the study names the minute.
    for written in (r"13 notes \(0 were there already", r"(no notes|1 note) \(1[23] were there already"):
        ended = command("report", finished, "--publish", "--output", "r.html")
        assert ended.returncode == 0, ended.stderr
        path, published = ended.stdout.splitlines()
        assert path == "r.html"
        assert re.match(f"Published: 4 figures, {written}, 0 of users are kept", published)


def test_studies_of_another_metric_are_refused(command: Command, finished: str, study_file: Path) -> None:
    """A loss and an accuracy have no common scale."""
    study_file.write_text(f'metric = "validation_loss"\n{study_file.read_text()}')
    assert command("study", "create", str(study_file), "--name", "losses").returncode == 0
    ended = command("report", finished, "--compare", "losses")
    assert ended.returncode == 1
    assert '--compare losses: must have the metric of "flowers", validation accuracy' in ended.stderr


def test_the_card_holds_a_study_file_that_runs(command: Command, finished: str, second: str) -> None:
    """The file on the card is accepted by `diagnose` and by `study create`, which has no warning for it."""
    with open_store("sqlite:///default.db", create=False) as store:
        card = best_card(take_snapshot(store, store.studies.get(finished)))
    assert card is not None
    Path("best.toml").write_text(card.study_file)
    ended = command("study", "create", "best.toml", "--dry-run")
    assert ended.returncode == 0, ended.stderr
    ended = command("diagnose", "best.toml", "--format", "json")
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["verdict"]
