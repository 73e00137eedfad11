"""Files from elsewhere: refused whole with table, column and rule, or imported and usable by every command."""

import json
import random
import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from subprocess import CompletedProcess
from typing import Final

import pytest

from hpsearch.storage.data_files import PART_BYTES
from hpsearch.storage.store import open_store
from tests import hostile_exports

Command = Callable[..., CompletedProcess[str]]
Change = hostile_exports.Change

ROW: Final = re.compile(r"(table \w+, (.+, )?column \w+|\w+\.\w+|\w+): .*must.* \(.*got ", re.DOTALL)
"""The form of a refusal: place, rule and value."""


@pytest.fixture
def good(command: Command, finished: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a good export with rows in every table. It is made once and then copied."""
    kept = tmp_path_factory.getbasetemp() / "good.db"
    if not kept.exists():
        assert command("study", "confirm", finished, "--best", "1", "--seeds", "2").returncode == 0
        assert command("study", "edit", finished, "--trials", "14").returncode == 0
        assert command("trial", "enqueue", finished, "--set", "learning_rate=0.25").returncode == 0
        with open_store("sqlite:///default.db") as store:
            study = store.studies.get(finished)
            store.queue.claim(study, worker="ann", count=1, lease_s=60.0)
            store.queue.release(study, worker="ann", numbers=None, why="stopped", crashed=False)
            Path("iris.csv").write_bytes(random.Random(5).randbytes(PART_BYTES + 1000))
            store.data.push(study, [Path("iris.csv")])
        assert command("study", "export", finished, "--output", str(kept)).returncode == 0
        with closing(sqlite3.connect(kept, isolation_level=None)) as connection:  # no export has these rows
            connection.execute(
                "INSERT INTO hpsearch_notify SELECT study_key, '[\"json://localhost\"]' FROM hpsearch_studies"
            )
            connection.execute(
                "INSERT INTO hpsearch_notifications SELECT study_key, 'new_best', 'x', 1.0, 2.0 FROM hpsearch_studies"
            )
    for path in tmp_path.glob("default.db*"):
        path.unlink()
    return Path(shutil.copy(kept, tmp_path / "good.db"))


def imported(command: Command, good: Path, change: Change) -> CompletedProcess[str]:
    """Import a changed copy of a good export into a new database."""
    hostile_exports.write(good, Path("bad.db"), change)
    for path in Path().glob("default.db*"):
        path.unlink()
    before = Path("bad.db").read_bytes()
    ended = command("study", "import", "bad.db")
    assert Path("bad.db").read_bytes() == before
    return ended


def check_refusal(name: str, ended: CompletedProcess[str]) -> None:
    """Check that a refusal names its file and its rule, and that no database was made."""
    assert (ended.returncode, ended.stdout) == (1, ""), (name, ended.stderr)
    assert ended.stderr.startswith("Error: sqlite:///bad.db: "), name
    assert len(ended.stderr) < 10_000, name
    assert not Path("default.db").exists(), name


def check_use(command: Command, name: str) -> None:
    """Check that no command crashes on the imported data, and that the study notifies nobody."""
    with closing(sqlite3.connect("default.db")) as connection:
        assert connection.execute("SELECT * FROM hpsearch_notify").fetchall() == [], name
    (study,) = [listed["name"] for listed in json.loads(command("study", "list", "--format", "json").stdout)]
    for arguments in (
        ("study", "show", "--", study),
        ("trial", "show", "--", study, "1"),
        ("report", "--output", "page.html", "--", study),
    ):
        ended = command(*arguments)
        assert ended.returncode in (0, 1), (name, arguments, ended.stderr)


ACCEPTED: Final = {
    "all complete",
    "all failed",
    "infinite values",
    "ended before it began",
    "a name of blanks",
    "another name",
    "a name as option",
    "no version",
    "a version to come",
    "another fingerprint",
    "leases",
    "an infinite attribute",
    "a trigger",
    "ids without rows",
    "a content of no file",
    "notifications elsewhere",
    "notifications of bytes",
}
"""Changes that break no rule: odd, but usable."""


@pytest.mark.parametrize("part", range(8))
def test_what_rows_mean_to_each_other_is_checked(command: Command, good: Path, part: int) -> None:
    """Numbers, links, states, sums, specifications, bombs, views: each hostile file is refused, or usable."""
    changes = list(hostile_exports.statements().items())[part::8]
    for name, statement in changes:
        ended = imported(command, good, hostile_exports.script(statement))
        if name in ACCEPTED:
            assert ended.returncode == 0, (name, ended.stderr)
            check_use(command, name)
        else:
            check_refusal(name, ended)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_wrong_value_in_any_column_is_refused_or_of_use(command: Command, good: Path, seed: int) -> None:
    """Of texts, numbers, bytes and nothing in any column, each is refused with its column, or breaks no command."""
    refused = 0
    for name, change in hostile_exports.values(seed, 20):
        try:
            ended = imported(command, good, change)
        except sqlite3.Error:  # a rowid takes no text, in any table
            continue
        if ended.returncode == 0:
            check_use(command, name)
            continue
        check_refusal(name, ended)
        assert ROW.search(ended.stderr) or "made by" in ended.stderr or "storage upgrade" in ended.stderr, (
            name
        )
        refused += 1
    assert refused > 8


def test_text_that_is_no_text_is_refused(command: Command, good: Path) -> None:
    """Bytes that are no UTF-8 are refused in every column of text."""
    for name, change in hostile_exports.invalid_texts(3, 12):
        check_refusal(name, imported(command, good, change))


def test_a_copy_takes_nothing_on_trust_either(command: Command, good: Path) -> None:
    """`storage copy` refuses what `study import` refuses, and makes no target."""
    statements = hostile_exports.statements()
    for name in ("spec of null", "numbers with gaps", "a bomb", "an endless view", "parameters twice"):
        hostile_exports.write(good, Path("bad.db"), hostile_exports.script(statements[name]))
        check_refusal(name, command("storage", "copy", "sqlite:///bad.db", "sqlite:///default.db"))


def test_a_damaged_export_is_named_as_such(command: Command, good: Path) -> None:
    """Files with flipped bits, foreign pages or without their end are refused, or the damaged part was unused."""
    for index, content in enumerate(hostile_exports.damaged(good.read_bytes(), 4, 8)):
        Path("bad.db").write_bytes(content)
        ended = command("study", "import", "bad.db")
        if ended.returncode == 0:
            check_use(command, str(index))
            assert command("study", "delete", "--yes", "--", "flowers").returncode == 0
        else:
            assert (ended.returncode, ended.stdout) == (1, ""), (index, ended.stderr)


def test_a_target_stays_as_it_is_when_an_import_is_refused(command: Command, good: Path) -> None:
    """Not one byte of the database changes."""
    assert command("study", "import", str(good)).returncode == 0
    before = Path("default.db").read_bytes()
    hostile_exports.write(
        good, Path("bad.db"), lambda connection: connection.execute("UPDATE trials SET number = -number")
    )
    assert command("study", "import", "bad.db").returncode == 1
    assert Path("default.db").read_bytes() == before


def test_pickles_do_not_come_in_with_a_study(command: Command, good: Path) -> None:
    """Data that Optuna's CMA-ES would unpickle is dropped on import, and never exported."""

    def plant(connection: sqlite3.Connection) -> None:
        for key in ("cma:optimizer:0", "sepcma:optimizer:0", "cmawm:optimizer:0"):
            connection.execute(
                "INSERT INTO trial_system_attributes (trial_id, key, value_json) SELECT trial_id, ?, ? FROM trials",
                (key, '"' + b"cos\nsystem\n(S'touch ran'\ntR.".hex() + '"'),
            )

    assert imported(command, good, plant).returncode == 0
    with closing(sqlite3.connect("default.db")) as connection:
        keys = {key for (key,) in connection.execute("SELECT key FROM trial_system_attributes")}
    assert not any("optimizer" in key for key in keys)
    assert not Path("ran").exists()


def test_every_page_and_row_is_looked_at_on_request(command: Command, good: Path) -> None:
    """`storage check --full` ends with 0 on a healthy database and with 1 and the row on a damaged one."""
    assert command("study", "import", str(good)).returncode == 0
    ended = command("storage", "check", "--full")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert re.search(r"^faults +0$", ended.stdout, re.MULTILINE)
    with closing(sqlite3.connect("default.db")) as connection, connection:
        connection.execute("UPDATE hpsearch_studies SET settled_pruned = 7")
    ended = command("storage", "check", "--full", "--format", "json")
    assert ended.returncode == 1
    (fault,) = json.loads(ended.stdout)["faults"]
    assert fault == (
        'study "flowers": table hpsearch_studies, column settled_pruned: '
        "must be the number of such trials, 0 (got 7)"
    )
    assert fault in ended.stderr
    assert "must hold what hpsearch and Optuna store (1 fault): " in ended.stderr


@pytest.mark.parametrize(
    ("statement", "arguments"),
    [
        ("UPDATE trials SET state = 'COMPLETED' WHERE number = 2", ("study", "trials", "flowers")),
        ("UPDATE trials SET datetime_start = 'noon' WHERE number = 2", ("study", "trials", "flowers")),
        ("UPDATE trial_params SET distribution_json = '{' WHERE param_id = 4", ("study", "best", "flowers")),
    ],
)
def test_a_command_that_meets_a_damaged_row_names_it(
    command: Command, good: Path, statement: str, arguments: tuple[str, ...]
) -> None:
    """Bad values in a row, from another program or a bad disk, are not a bug: exit code 1, and the row."""
    assert command("study", "import", str(good)).returncode == 0
    with closing(sqlite3.connect("default.db")) as connection, connection:
        connection.execute(statement)
    ended = command(*arguments)
    assert ended.returncode == 1, ended.stderr
    assert "fault of hpsearch" not in ended.stderr
    assert re.search(r"trial [12]\b|row 3\b", ended.stderr), ended.stderr
    assert not list(Path().glob("**/hpsearch-crash-*"))


@pytest.mark.parametrize("arguments", [("report", "flowers"), ("trial", "show", "flowers", "2")])
def test_damaged_series_are_left_out_with_a_warning(
    command: Command, good: Path, arguments: tuple[str, ...]
) -> None:
    """Output that does not need them is shown, and the full check that the warning names has the trial and the rule."""
    assert command("study", "import", str(good)).returncode == 0
    with closing(sqlite3.connect("default.db")) as connection, connection:
        connection.execute("UPDATE hpsearch_series SET payload = x'00' WHERE number = 2")
    ended = command(*arguments)
    assert ended.returncode == 0
    assert ended.stderr == (
        'Warning: study "flowers": the series of trial 2 cannot be read and are left out: '
        "see `hpsearch storage check --full`\n"
    )
    if arguments[0] == "report":
        assert "trial 2" in Path(ended.stdout.strip()).read_text()
    assert "trial 2, column payload: series: must be" in command("storage", "check", "--full").stderr


def test_a_verdict_of_a_newer_version_stops_no_command(command: Command, good: Path) -> None:
    """A cause unknown to this version is inconclusive, in listings, sums and pages alike."""
    assert command("study", "import", str(good)).returncode == 0
    with closing(sqlite3.connect("default.db")) as connection, connection:
        connection.execute(
            "UPDATE hpsearch_trials SET finding = replace(finding, json_quote(verdict), '\"overfitted\"'), "
            "verdict = 'overfitted' WHERE number = 2"
        )
    for arguments in (("study", "show"), ("study", "trials"), ("report",)):
        ended = command(*arguments, "flowers")
        assert (ended.returncode, ended.stderr) == (0, ""), arguments
    shown = json.loads(command("trial", "show", "flowers", "2", "--format", "json").stdout)
    assert shown["verdict"] == "inconclusive"
    assert shown["remedy"].startswith("A newer hpsearch calls it overfitted: ")
    ledger = json.loads(command("study", "show", "flowers", "--format", "json").stdout)["ledger"]
    state = shown["state"]
    assert ledger.get("inconclusive" if state in ("pruned", "failed") else state, 0) >= shown["epochs"]


def test_no_command_fails_on_damaged_pages(command: Command, good: Path) -> None:
    """If any bytes of a database are flipped, a command succeeds, or ends with 1 and names the damage."""
    for index, content in enumerate(hostile_exports.damaged(good.read_bytes(), 9, 8)):
        for arguments in (
            ("study", "list"),
            ("study", "show", "flowers"),
            ("study", "trials", "flowers"),
            ("trial", "show", "flowers", "1"),
            ("storage", "check", "--full"),
        ):
            for path in Path().glob("default.db*"):
                path.unlink()
            Path("default.db").write_bytes(content)
            ended = command(*arguments)
            assert ended.returncode in (0, 1), (index, arguments, ended.stderr)
            assert "Traceback" not in ended.stderr
