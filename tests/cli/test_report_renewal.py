"""Renewal of reports after commands that change their contents, and the order by fresh seeds."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from hpsearch.dashboard.notes import stored_note
from hpsearch.report.request import origin_of
from hpsearch.storage.optuna.storage import OptunaStorage
from hpsearch.storage.records import Evaluation
from hpsearch.storage.store import open_store
from hpsearch.trials import best_trials

Command = Callable[..., CompletedProcess[str]]

REPORT = Path("reports/flowers.html")
RENEWED = "Report written again: "
SEALED = """
name = "flowers"
trials = 8
seed = 3
data = { source = "iris", test_fraction = 0.2 }

[training]
epochs = 3
batch_size = 20

[search]
learning_rate = { low = 1e-2, high = 1.0, log = true }
"""


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Return the URL of the database that commands use."""
    return f"sqlite:///{tmp_path / 'default.db'}"


def words(path: Path) -> str:
    """Return the text of a report."""
    page = path.read_text()
    return re.sub(r"\s+", " ", re.sub("<[^>]+>", " ", page[page.index("<main>") : page.index("</main>")]))


def confirm_backwards(url: str, name: str, count: int) -> list[int]:
    """Store fresh seeds that reverse the order of the `count` best, and return their numbers in the new order."""
    with open_store(url, create=False) as store:
        study = store.studies.get(name)
        found = best_trials(store.trials.all(study), maximize=True, count=count)
        one = Evaluation(
            number=0,
            part="validation",
            seed=0,
            loss=0.5,
            accuracy=0.5,
            made=datetime(2026, 7, 26, tzinfo=UTC),
        )
        made = [
            replace(one, number=trial.number, seed=seed, accuracy=0.5 + 0.05 * rank + 0.01 * seed)
            for rank, trial in enumerate(found)
            for seed in range(3)
        ]
        store.evaluations.write(study, made)
    return [trial.number for trial in reversed(found)]


def numbers(text: str) -> Sequence[int]:
    """Return the trials that `study best --format json` lists."""
    return [trial["number"] for trial in json.loads(text)]


def test_the_order_of_fresh_seeds_wins_everywhere(command: Command, finished: str, url: str) -> None:
    """`study best`, `study show` and the report list the trial first that is best over fresh seeds."""
    before = numbers(command("study", "best", finished, "--format", "json").stdout)
    order = confirm_backwards(url, finished, 3)
    assert order == list(reversed(before[:3]))
    listed = command("study", "best", finished, "--format", "json").stdout
    assert numbers(listed) == [*order, *before[3:]]
    seeds = [trial.get("fresh_seeds") for trial in json.loads(listed)]
    assert [one and one["seeds"] for one in seeds] == [3, 3, 3, None, None][: len(seeds)]
    assert seeds[0]["mean"] == pytest.approx(0.61)
    lines = command("study", "best", finished).stdout.splitlines()
    assert lines[0].startswith("Best-1 (val acc 0.610 over 3 fresh seeds, ")
    shown = command("study", "show", finished)
    assert f"Best: trial {order[0]} (val acc 0.610 over 3 fresh seeds, " in shown.stdout
    program = json.loads(command("study", "show", finished, "--format", "json").stdout)
    assert program["best"]["number"] == order[0]
    assert [one["number"] for one in program["confirmed"]] == order
    assert command("report", finished).returncode == 0
    text = words(REPORT)
    assert f"Use the best configuration Trial {order[0]} Validation accuracy" in text
    assert "Best-1 (val acc 0.610 over 3 fresh seeds, " in text
    assert f"hpsearch trial replay flowers {order[0]}" in text


def test_a_report_follows_every_command_that_changes_what_it_says(command: Command, finished: str) -> None:
    """A report at its default path is written again after each such command; a missing one is not created."""
    assert RENEWED not in command("study", "edit", finished, "--trials", "13").stderr
    assert not REPORT.exists()
    assert command("report", finished).returncode == 0
    for arguments, said in (
        (("study", "confirm", finished, "--best", "2", "--seeds", "2"), "trained again with fresh seeds"),
        (("study", "edit", finished, "--trials", "14"), "12 of 14 trials finished"),
        (("study", "create", "flowers.toml", "--trials", "15"), "12 of 15 trials finished"),
        (("trial", "enqueue", finished, "--set", "learning_rate=0.1"), "Waiting 1"),
        (("study", "pause", finished), "Paused: 12 of 15 trials finished"),
        (("study", "resume", finished), "Open: 12 of 15 trials finished"),
        (("study", "stop", finished), "Finished: 12 of 12 trials"),
    ):
        ended = command(*arguments)
        assert (ended.returncode, f"{RENEWED}" in ended.stderr) == (0, True), (arguments, ended.stderr)
        assert said in words(REPORT), arguments


def test_a_report_says_that_the_test_part_was_opened(command: Command) -> None:
    """After `study test` a report no longer states that the test part is sealed, and stdout is unchanged."""
    Path("flowers.toml").write_text(SEALED)
    assert command("study", "create", "flowers.toml").returncode == 0
    assert command("worker", "start", "--study", "flowers", "--exit-when-idle").returncode == 0
    assert command("report", "flowers").returncode == 0
    assert "The test part is sealed." in words(REPORT)
    ended = command("study", "test", "flowers", "--yes", "--seeds", "2", "--format", "json")
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["test"]["command"].startswith("hpsearch study test flowers")
    assert "The test part was opened" in words(REPORT)
    assert "sealed." not in words(REPORT)


def test_a_report_moves_with_its_study(command: Command, finished: str) -> None:
    """A rename also renames the report; another study's file at the new path stays, and then the old one too."""
    assert command("report", finished).returncode == 0
    assert command("study", "rename", finished, "iris").returncode == 0
    assert not REPORT.exists()
    assert "hpsearch trial replay iris" in words(Path("reports/iris.html"))
    Path("reports/mine.html").write_text("mine")
    assert command("study", "rename", "iris", "mine").returncode == 0
    assert Path("reports/mine.html").read_text() == "mine"
    assert Path("reports/iris.html").exists()


def test_a_file_that_is_no_report_of_the_study_stays(command: Command, finished: str) -> None:
    """A file at a report's path is overwritten only if it is a report of the same study."""
    assert command("report", finished).returncode == 0
    assert command("study", "copy", finished, "copied").returncode == 0
    REPORT.rename("reports/copied.html")
    before = Path("reports/copied.html").read_bytes()
    REPORT.write_text("mine")
    for name in (finished, "copied"):
        assert RENEWED not in command("study", "edit", name, "--trials", "20").stderr
    assert REPORT.read_text() == "mine"
    assert Path("reports/copied.html").read_bytes() == before


def test_what_was_asked_of_a_report_stays_asked(command: Command, finished: str) -> None:
    """A report with other studies and chosen trials has them again, except a study that is gone."""
    assert command("study", "copy", finished, "copied").returncode == 0
    assert command("report", finished, "--compare", "copied", "--trials", "3,5").returncode == 0
    first = origin_of(REPORT)
    assert first is not None
    assert (first.trials, len(first.others)) == ((3, 5), 1)
    assert command("study", "edit", finished, "--trials", "20").returncode == 0
    assert origin_of(REPORT) == first
    assert command("study", "delete", "copied", "--yes").returncode == 0
    assert RENEWED in command("study", "edit", finished, "--trials", "21").stderr
    again = origin_of(REPORT)
    assert again is not None
    assert (again.trials, again.others) == ((3, 5), ())


def test_a_report_that_cannot_be_written_is_a_warning(command: Command, finished: str) -> None:
    """The command succeeds even if its report cannot be renewed, and reports that."""
    assert command("report", finished, "--trials", "3,5").returncode == 0
    content = REPORT.read_bytes().replace(b"[3,5]", b"[3,99]")
    REPORT.write_bytes(content)
    ended = command("study", "edit", finished, "--trials", "20")
    assert ended.returncode == 0
    assert 'Warning: the report of "flowers" is outdated' in ended.stderr
    assert REPORT.read_bytes() == content


def test_published_notes_follow_too(command: Command, finished: str, url: str) -> None:
    """Notes for Optuna's own dashboard have the order of fresh seeds after `confirm`, if some were published."""
    pytest.importorskip("optuna_dashboard", reason="needs the extra `dashboard`")
    assert "Published again" not in command("study", "edit", finished, "--trials", "13").stderr
    assert command("report", finished, "--publish").returncode == 0
    order = confirm_backwards(url, finished, 3)
    assert "Published again" in command("study", "edit", finished, "--trials", "14").stderr
    storage = OptunaStorage(url)
    study_id = storage.get_study_id_from_name(finished)
    body = stored_note(storage.get_study_system_attrs(study_id), None).body.replace("\\", "")
    storage.remove_session()
    assert "1. Best-1 (val acc 0.610 over 3 fresh seeds, " in body
    assert order
