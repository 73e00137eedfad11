"""SQLite files: made where they are missing, and refused in plain words where they cannot be a database."""

import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from hpsearch.errors import StorageError, StorageUnavailableError
from hpsearch.storage import engine, schema
from hpsearch.storage.health import check
from hpsearch.storage.store import open_store
from hpsearch.storage.transfer import Selection, Transfer
from tests.contract.laboratory import FINGERPRINT, Lab, a_spec

NOBODY = 65534


@pytest.fixture
def strangers_folder() -> Iterator[Path]:
    """Provide a folder and run the test as a user who may read it but not write."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        with closing(sqlite3.connect(folder / "there.db")) as connection:
            connection.execute("CREATE TABLE t (x)")
        (folder / "there.db").chmod(0o444)
        (folder / "secret.db").write_bytes(b"SQLite format 3\x00")
        (folder / "secret.db").chmod(0)
        (folder / "closed").mkdir(mode=0)
        if is_root := os.geteuid() == 0:
            os.seteuid(NOBODY)
        else:
            folder.chmod(0o555)
        yield folder
        if is_root:
            os.seteuid(0)
        folder.chmod(0o755)
        (folder / "closed").chmod(0o700)


def refusal(path: Path) -> str:
    """Return the message of opening the file, without its URL."""
    with pytest.raises(StorageError) as caught:
        open_store(f"sqlite:///{path}")
    return str(caught.value).removeprefix(f"sqlite:///{path}: ")


def test_folders_are_made(tmp_path: Path) -> None:
    """Opening makes the file and the folders above it, also by a relative path."""
    open_store("sqlite:///storage/deep/hpsearch.db").close()
    assert (tmp_path / "storage/deep/hpsearch.db").stat().st_size > 0


def test_a_path_may_have_spaces_and_braces(tmp_path: Path) -> None:
    """What means something in URLs' and templates' languages is only a name in a path."""
    with open_store("sqlite:///a {b} c.db") as store:
        assert store.url_shown == "sqlite:///a {b} c.db"
    assert (tmp_path / "a {b} c.db").stat().st_size > 0


def test_an_empty_file_becomes_a_database(tmp_path: Path) -> None:
    """An empty file is what `mktemp` leaves: it is filled."""
    path = tmp_path / "empty.db"
    path.touch()
    open_store(f"sqlite:///{path}").close()
    assert check(f"sqlite:///{path}").hpsearch_schema == schema.REVISION


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    """A file that is no database is named as such and stays as it is."""
    path = tmp_path / "notes.txt"
    remedy = "give the path of another file, or of none"
    for notes, reason in {
        "x": f"must be an SQLite database, of at least 512 bytes (got 1): {remedy}",
        "my notes": f"must be an SQLite database, of at least 512 bytes (got 8): {remedy}",
        "my notes" * 64: "the file is no SQLite database, or a damaged one: give another",
        "my notes" * 6400: "the file is no SQLite database, or a damaged one: give another",
    }.items():
        path.write_text(notes)
        assert refusal(path) == reason
        assert path.read_text() == notes
    assert list(tmp_path.glob("notes.txt*")) == [path]


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    """A file that only begins like a database is refused."""
    path = tmp_path / "damaged.db"
    path.write_bytes(b"SQLite format 3\x00" + b"\xff" * 5000)
    assert refusal(path) == "the file is no SQLite database, or a damaged one: give another"


ANOTHER_PROCESS = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("CREATE TABLE another (process)")
connection.close()
"""


def test_opening_a_file_again_takes_no_locks_from_what_is_open(tmp_path: Path) -> None:
    """What a store writes stays, and stays seen, when its process opens the file again and another one closes it.

    A process that closes a file loses its locks on it; the other process would then take the log away, the last one
    to leave, with all that is written into it afterwards.
    """
    path = tmp_path / "x.db"
    url = f"sqlite:///{path}"
    with open_store(url) as store:
        lab = Lab(store=store, url=url, study=store.studies.create(a_spec(), fingerprint=FINGERPRINT))
        open_store(url, create=False).close()
        check(url)
        subprocess.run([sys.executable, "-c", ANOTHER_PROCESS, path], check=True)
        assert (tmp_path / "x.db-wal").exists()
        lab.finish(3)
        with open_store(url) as other:
            assert other.studies.progress(lab.study).complete == 3


def test_a_folder_is_refused(tmp_path: Path) -> None:
    """A folder is no database."""
    assert refusal(tmp_path) == "must be a file (got a folder): add a name such as hpsearch.db"


def test_a_path_below_a_file_is_refused(tmp_path: Path) -> None:
    """No folder can be made below a file."""
    (tmp_path / "file").touch()
    for path in ("file/x.db", "file/deep/x.db"):
        assert refusal(tmp_path / path) == (
            "cannot be created (a file is where a folder should be): choose a folder that you may write to"
        )


def test_a_folder_without_write_permission_is_refused(strangers_folder: Path) -> None:
    """If the user may not write nothing is made."""
    assert refusal(strangers_folder / "new.db") == (
        "cannot be created (Permission denied): choose a folder that you may write to"
    )


def test_a_file_without_write_permission_is_refused(strangers_folder: Path) -> None:
    """A file that the user may only read cannot hold leases."""
    assert refusal(strangers_folder / "there.db") == (
        "must be a file that you may read and write (Permission denied): check its owner and mode"
    )
    assert refusal(strangers_folder / "secret.db") == (
        "must be a file that you may read and write (Permission denied): check its owner and mode"
    )


@pytest.mark.parametrize("has_log", [False, True])
def test_what_can_only_be_read_can_be_copied_from(strangers_folder: Path, *, has_log: bool) -> None:
    """A file on a medium that cannot be written is read, with what stands in its log, and nothing is left there."""
    medium = strangers_folder / "medium"
    with tempfile.TemporaryDirectory() as place:
        home = Path(place)
        with open_store(f"sqlite:///{home / 'export.db'}") as store:
            study = store.studies.create(a_spec(), fingerprint=FINGERPRINT)
            Lab(store=store, url="", study=study).finish(3)
            store.studies.set_priority(study, 7)
            names = ["export.db", "export.db-wal"] if has_log else []
            contents = {name: (home / name).read_bytes() for name in names}
        if not has_log:
            contents["export.db"] = (home / "export.db").read_bytes()
        with as_owner(strangers_folder):
            medium.mkdir()
            for file, content in contents.items():
                (medium / file).write_bytes(content)
                (medium / file).chmod(0o444)
            medium.chmod(0o555)
        target = f"sqlite:///{home / 'target.db'}"
        source = f"sqlite:///{medium / 'export.db'}"
        transfer = Transfer(source=source, target=target, selection=Selection(), kind="import")
        transfer.run(notify=lambda _: None)
        assert {path.name: path.read_bytes() for path in medium.iterdir()} == contents
        with open_store(target) as store:
            (copied,) = store.studies.all()
            assert (copied.key, copied.priority, len(store.trials.all(copied))) == (study.key, 7, 3)
    with as_owner(strangers_folder):
        medium.chmod(0o755)


@contextmanager
def as_owner(folder: Path) -> Iterator[None]:
    """Act as the folder's owner, who may write there."""
    present = os.geteuid()
    if os.getuid() == 0:
        os.seteuid(0)
    folder.chmod(0o755)
    yield
    os.seteuid(present)


def test_a_path_that_cannot_be_looked_at_is_refused(strangers_folder: Path) -> None:
    """If a folder may not be entered, or a name is too long, the content is unknown."""
    remedy = "check its name, and the mode of the folders above it"
    assert refusal(strangers_folder / "closed/x.db") == f"cannot be accessed (Permission denied): {remedy}"
    told = refusal(strangers_folder / f"{'x' * 300}.db")
    assert told == "cannot be accessed (File name too long): give a shorter one"


def test_a_file_that_another_process_keeps_locked_is_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock that is never released is an error in the end, not an endless wait."""
    monkeypatch.setattr(engine, "BUSY_TIMEOUT_S", 0)
    url = f"sqlite:///{tmp_path / 'x.db'}"
    with open_store(url) as store:
        with closing(sqlite3.connect(tmp_path / "x.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StorageUnavailableError) as caught:
                store.workers.unregister("worker")
            assert str(caught.value) == (
                f"{url}: other processes have kept the database locked for too long: try again"
            )
        store.workers.unregister("worker")


def test_files_are_written_ahead(tmp_path: Path) -> None:
    """The database is in WAL mode, so that readers and the writer do not keep each other waiting."""
    open_store(f"sqlite:///{tmp_path / 'x.db'}").close()
    with closing(sqlite3.connect(tmp_path / "x.db")) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
