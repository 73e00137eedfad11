"""SQLite files that are replaced or removed while a store has them open."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from hpsearch.errors import StorageUnavailableError
from hpsearch.storage.address import parse_address
from hpsearch.storage.engine import make_engine
from hpsearch.storage.store import Store, open_store
from tests.contract.laboratory import FINGERPRINT, Lab, a_spec


def a_lab(store: Store, path: Path) -> Lab:
    """Return a study of its own in a store on the file."""
    study = store.studies.create(a_spec(), fingerprint=FINGERPRINT)
    return Lab(store=store, url=f"sqlite:///{path}", study=study)


def back_up(path: Path) -> Path:
    """Return a copy of the database, made while it is open."""
    copy = path.with_suffix(".backup")
    with closing(sqlite3.connect(path)) as here, closing(sqlite3.connect(copy)) as there:
        here.backup(there)
    return copy


def remove(path: Path) -> None:
    """Remove a database with SQLite's files next to it."""
    for name in (path, f"{path}-wal", f"{path}-shm"):
        Path(name).unlink(missing_ok=True)


def test_a_replaced_file_is_followed(tmp_path: Path) -> None:
    """After an older copy took its place, an open store writes into that copy, where its new claims are unknown."""
    path = tmp_path / "x.db"
    with open_store(f"sqlite:///{path}") as store:
        lab = a_lab(store, path)
        lab.finish(3)
        copy = back_up(path)
        claims = lab.claim(2)
        lab.assign(claims)
        remove(path)
        copy.replace(path)
        assert lab.end(claims) == {3, 4}
        assert [claim.number for claim in lab.finish(2)] == [3, 4]
        assert lab.end(claims) == {3, 4}
        with open_store(f"sqlite:///{path}") as other:
            assert other.trials.all(lab.study) == store.trials.all(lab.study)
            assert other.studies.progress(lab.study).complete == 5


def test_a_file_that_is_gone_is_waited_for(tmp_path: Path) -> None:
    """While no file is there an open store is unavailable and makes none; it continues when the file is back."""
    path = tmp_path / "x.db"
    with open_store(f"sqlite:///{path}") as store:
        lab = a_lab(store, path)
        lab.finish(1)
        copy = back_up(path)
        remove(path)
        with pytest.raises(StorageUnavailableError) as caught:
            lab.claim(1)
        assert str(caught.value) == (
            f"sqlite:///{path}: the file is gone: restore it, or stop the processes that use it"
        )
        assert not path.exists()
        shutil.copy(copy, path)
        assert [claim.number for claim in lab.claim(1)] == [1]


def test_a_new_connection_makes_no_file_that_is_gone(tmp_path: Path) -> None:
    """The driver makes a file that is missing: only the first connection of all may let it, none after it."""
    path = tmp_path / "x.db"
    engine = make_engine(parse_address(f"sqlite:///{path}"))
    with engine.connect():
        remove(path)
        with pytest.raises(StorageUnavailableError, match="the file is gone"):
            engine.connect()
        assert not path.exists()
    engine.dispose()


def test_a_file_that_only_got_another_name_and_back_is_the_same(tmp_path: Path) -> None:
    """A file is known by what it is, not by when it was named."""
    path = tmp_path / "x.db"
    with open_store(f"sqlite:///{path}") as store:
        lab = a_lab(store, path)
        path.rename(tmp_path / "y.db")
        (tmp_path / "y.db").rename(path)
        assert [claim.number for claim in lab.finish(2)] == [0, 1]
