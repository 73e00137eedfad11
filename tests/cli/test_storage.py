"""`hpsearch storage`: its output and refusals, without passwords."""

import json
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from hpsearch.storage.records import WorkerIdentity
from hpsearch.storage.store import open_store
from tests.contract.golden_database import load

Command = Callable[..., CompletedProcess[str]]

GOLDEN = Path(__file__).parents[1] / "contract" / "golden"

OFF_BY_A_ZONE = (
    "made these tables, and before 5.0 it wrote local times, which are now read as UTC: those of up to 5 trials may be "
    "off by your time zone, see storage/README.md"
)


def refused(ended: CompletedProcess[str], code: int = 1) -> str:
    """Return the message of a command that was refused and wrote nothing else."""
    assert (ended.returncode, ended.stdout) == (code, "")
    assert ended.stderr.startswith("Error: ")
    return ended.stderr.removeprefix("Error: ").removesuffix("\n")


def test_a_check_says_what_is_left_and_what_it_costs(command: Command, study_file: Path) -> None:
    """The table has speed, workers and the cost of the open budgets; the measuring rows are removed."""
    for name, trials in (("first", 30), ("second", 1200)):
        assert (
            command("study", "create", str(study_file), "--name", name, "--trials", str(trials)).returncode
            == 0
        )
    with open_store("sqlite:///default.db") as store:
        store.workers.register(WorkerIdentity(name="ann", host="here", process_id=1, version="0.1.0"))
        store.queue.claim(store.studies.get("first"), worker="ann", count=10, lease_s=600.0)
    ended = command("storage", "check")
    assert (ended.returncode, ended.stderr) == (0, "")
    rows = dict(re.split(r"  +", line, maxsplit=1) for line in ended.stdout.splitlines())
    assert (rows["workers alive"], rows["studies"], rows["trials"]) == ("1", "2", "10")
    assert rows["not claimed yet"] == "1,220 trials of 2 open studies"
    assert rows["which will take"] == "3.0 MiB (2,600 bytes each, a typical trial's)"
    assert re.fullmatch(r".+ of the database \(\d+\.\d ms each, claimed one at a time\)", rows["and at most"])
    assert re.fullmatch(r"[\d,]+ durable or [\d,]+ light ones per second", rows["commits"])
    with closing(sqlite3.connect("default.db")) as connection:
        assert connection.execute("SELECT count(*) FROM hpsearch_series").fetchone() == (0,)


@pytest.mark.parametrize(
    ("seconds", "words"), [(-0.0004, "+0 ms"), (0.0, "+0 ms"), (-0.0016, "-2 ms"), (0.0016, "+2 ms")]
)
def test_no_clock_is_minus_nothing_late(
    command: Command, study_file: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, words: str
) -> None:
    """A difference that rounds to nothing has no minus."""
    monkeypatch.setattr("hpsearch.storage.health.clock", lambda _: (0.001, seconds))
    assert command("study", "create", str(study_file)).returncode == 0
    rows = dict(
        re.split(r"  +", line, maxsplit=1) for line in command("storage", "check").stdout.splitlines()
    )
    assert rows["clock difference"] == words


def test_a_check_for_programs_has_the_same_numbers(command: Command, study_file: Path) -> None:
    """The JSON has rates per second and the remaining trials; a cost is its trials times the cost of one."""
    assert command("study", "create", str(study_file), "--trials", "40").returncode == 0
    health = json.loads(command("storage", "check", "--format", "json").stdout)
    outlook, rate = health["outlook"], health["write_rate"]
    assert (outlook["trials"], outlook["open_studies"], outlook["size_bytes"]) == (40, 1, 40 * 2600)
    assert min(rate["durable_per_s"], rate["light_per_s"]) > 0
    assert (health["no_write_rate"], outlook["bytes_are_measured"]) == (None, False)
    assert outlook["seconds"] == pytest.approx(40 * outlook["seconds_per_trial"])
    assert outlook["seconds_per_trial"] > 1 / rate["durable_per_s"]


def test_a_check_without_tables_says_why_it_measured_nothing(command: Command) -> None:
    """An empty database is healthy, and each value that cannot be measured has its reason."""
    Path("default.db").touch()
    health = json.loads(command("storage", "check", "--format", "json").stdout)
    assert (health["write_rate"], health["outlook"]) == (None, None)
    assert health["no_write_rate"] == "there are no tables of hpsearch yet"
    assert "not measured: there are no tables of hpsearch yet" in command("storage", "check").stdout


def test_an_upgrade_says_what_it_did(command: Command, study_file: Path, tmp_path: Path) -> None:
    """Old tables of Optuna's get a new version, once; current tables are left unchanged."""
    url = load(GOLDEN / "optuna-3.0.6.sql", tmp_path / "old.db")
    assert refused(command("study", "create", str(study_file), "--storage", url)) == (
        f"{url}: its Optuna tables must be of version v3.2.0.a (got v3.0.0.d, older): "
        f"run `hpsearch storage upgrade --storage {url}`"
    )
    ended = command("storage", "upgrade", "--storage", url)
    assert (ended.returncode, ended.stdout, ended.stderr) == (
        0,
        "Tables of Optuna: version v3.2.0.a now (it was v3.0.0.d)\nTables of hpsearch: none yet\n",
        f"Times: Optuna 3.0.6 {OFF_BY_A_ZONE}.\n",
    )
    rows = dict(
        re.split(r"  +", line, maxsplit=1)
        for line in command("storage", "check", "--storage", url).stdout.splitlines()
    )
    assert rows["times"] == f"Optuna before 3.2 {OFF_BY_A_ZONE}"
    assert command("study", "create", str(study_file), "--storage", url).returncode == 0
    assert command("storage", "upgrade", "--storage", url).stdout == (
        "Tables of Optuna: version v3.2.0.a, nothing to do\nTables of hpsearch: version 0005, nothing to do\n"
    )


def test_an_upgrade_waits_for_the_workers(command: Command, study_file: Path, tmp_path: Path) -> None:
    """While a worker is alive the tables are not upgraded, unless `--yes` is given."""
    assert command("study", "create", str(study_file)).returncode == 0
    with open_store("sqlite:///default.db") as store:
        store.workers.register(WorkerIdentity(name="ann", host="here", process_id=1, version="0.1.0"))
    assert command("storage", "upgrade").stdout == (
        "Tables of Optuna: version v3.2.0.a, nothing to do\nTables of hpsearch: version 0005, nothing to do\n"
    )
    with closing(sqlite3.connect("default.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = 'v3.0.0.d'")
    assert refused(command("storage", "upgrade")) == (
        f"sqlite:///{tmp_path / 'default.db'}: no worker may run while its tables change (got 1: ann): "
        "stop them with `hpsearch worker stop`, or add --yes"
    )
    ended = command("storage", "upgrade", "--yes")
    assert (ended.returncode, ended.stdout.splitlines()[0]) == (
        0,
        "Tables of Optuna: version v3.2.0.a now (it was v3.0.0.d)",
    )


def test_a_copy_is_reported_study_by_study(command: Command, finished: str, study_file: Path) -> None:
    """A copied study can be shown from the target at once, even if trials ran."""
    assert command("study", "create", str(study_file), "--name", "second").returncode == 0
    with open_store("sqlite:///default.db") as store:
        store.queue.claim(store.studies.get("second"), worker="ann", count=2, lease_s=600.0)
    source, target = "sqlite:///default.db", "sqlite:///new/other.db"
    ended = command("storage", "copy", source, target, "--study", finished)
    assert (ended.returncode, ended.stdout, ended.stderr) == (
        0,
        f'Study "{finished}": copied with 12 trials, and read back\n',
        "",
    )
    for form in ("show", "trials", "best"):
        copy, original = (
            command("study", form, finished, "--format", "json", "--storage", url) for url in (target, source)
        )
        assert copy.stdout == original.stdout
    assert refused(command("storage", "copy", source, target, "--study", "second")) == (
        f'{source}: no trial of a study that is copied may run (got 2 of "second"): '
        "stop its workers, or copy such trials as waiting ones with --include-running"
    )
    ended = command("storage", "copy", source, target, "--study", "second", "--include-running")
    assert ended.stdout == 'Study "second": copied with 2 trials (2 that ran wait there), and read back\n'


def test_a_copy_leaves_damaged_studies_out(command: Command, finished: str, study_file: Path) -> None:
    """All of them are named with their problems and remedies; the others are copied, and the exit code is 1."""
    source, target = "sqlite:///default.db", "sqlite:///other.db"
    for name in ("second", "third"):
        assert command("study", "create", str(study_file), "--name", name).returncode == 0
    with closing(sqlite3.connect("default.db")) as connection, connection:
        connection.execute("UPDATE hpsearch_studies SET spec = 'null' WHERE name = 'second'")
        connection.execute("UPDATE hpsearch_studies SET budget = -1 WHERE name = 'third'")
    problem = "table hpsearch_studies, column"
    listed = (
        f'  study "second": {problem} spec, top: must be a specification as JSON; '
        'it must be a JSON object (got null) (got "null")\n'
        f'  study "third": {problem} budget: must be from 0 to 1e+07 (got -1)\n'
        "not copied: restore a backup, choose other studies with --study NAME, or delete these:\n"
        f"  hpsearch study delete --storage {source} -- second\n"
        f"  hpsearch study delete --storage {source} -- third"
    )
    message = f"{source}: must hold studies as hpsearch and Optuna store them (2 problems):\n{listed}"
    assert (
        refused(command("storage", "copy", source, target, "--study", "second", "--study", "third"))
        == message
    )
    assert not Path("other.db").exists()
    ended = command("storage", "copy", source, target)
    assert (ended.returncode, ended.stderr) == (1, f"Error: {message}\n")
    assert ended.stdout == f'Study "{finished}": copied with 12 trials, and read back\n'
    for name in ("second", "third"):
        assert command("study", "delete", "--yes", "--storage", source, "--", name).returncode == 0
    assert command("storage", "copy", source, "sqlite:///third.db").returncode == 0


def test_a_copy_that_cannot_be_is_refused(command: Command, finished: str) -> None:
    """Wrong usage is 2, an error the user can fix is 1, and neither copies anything."""
    source, target = "sqlite:///default.db", "sqlite:///other.db"
    assert refused(command("storage", "copy", source, "sqlite:///./default.db"), code=2) == (
        f"storage copy: source and target must be two databases (got {source} twice)"
    )
    assert refused(command("storage", "copy", source, target, "--study", "x", "--all"), code=2) == (
        "storage copy: --study and --all exclude each other: leave one out"
    )
    assert refused(command("storage", "copy", source, target, "--study", "flower")) == (
        f'study "flower": there is no such study in {source}: did you mean flowers?'
    )
    assert not Path("other.db").exists()
    assert command("storage", "copy", source, target).returncode == 0
    assert refused(command("storage", "copy", source, target)) == (
        f'{target}: must not have the studies yet (got "{finished}"): '
        "delete them there, or choose others with --study"
    )


def test_a_copy_shows_no_password(command: Command, finished: str) -> None:
    """A target that does not answer is named without its password."""
    assert refused(
        command("storage", "copy", "sqlite:///default.db", "mysql://ann:s3cret@127.0.0.1:9/d")
    ) == (
        "mysql://ann:***@127.0.0.1:9/d: the server does not answer (connection refused): "
        "check that it runs, its host and its port"
    )
