"""Files of studies' data in the database."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, func, select, update

from hpsearch.errors import StorageError
from hpsearch.storage import schema
from hpsearch.storage.data_files import PART_BYTES
from hpsearch.storage.store import open_store
from hpsearch.storage.transfer import Selection, Transfer
from tests.contract.laboratory import Lab

Labs = Callable[..., Lab]


def content(lab: Lab, name: str) -> bytes:
    """Return a file of the study's as it is read from the database."""
    parts: list[bytes] = []
    files = lab.store.data.of_study(lab.study)
    assert files is not None
    lab.store.data.read(files, name, parts.append)
    return b"".join(parts)


@contextmanager
def open_lab(url: str, lab: Lab) -> Iterator[Lab]:
    """Provide the same study in another database."""
    with open_store(url) as store:
        yield Lab(store=store, url=url, study=store.studies.get(lab.study.name))


def blobs(lab: Lab) -> int:
    """Return the number of blobs in the database."""
    engine = create_engine(lab.url)
    with engine.connect() as connection:
        count = connection.execute(select(func.count()).select_from(schema.blobs)).scalar_one()
    engine.dispose()
    return count


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Provide a file of four parts that do not compress, two of them equal."""
    part = random.Random(3).randbytes(PART_BYTES)
    path = tmp_path / "x.bin"
    path.write_bytes(part + part + random.Random(4).randbytes(PART_BYTES + 17))
    return path


def test_files_are_stored_once_and_deleted_with_their_last_study(new_lab: Labs, file: Path) -> None:
    """They are read as they were; equal parts are shared by studies, copies too; the last deletion removes them."""
    lab, other = new_lab(), new_lab()
    unrelated = blobs(lab)
    assert lab.store.data.of_study(lab.study) is None
    pushed = lab.store.data.push(lab.study, [file])
    assert (pushed.files, pushed.size_bytes) == (1, pushed.new_bytes)
    assert content(lab, "x.bin") == file.read_bytes()
    assert blobs(lab) == unrelated + 3
    assert other.store.data.push(other.study, [file]).new_bytes == 0
    lab.store.studies.copy(lab.study.name, f"{lab.study.name}-copy")
    for name in (lab.study.name, other.study.name):
        lab.store.studies.delete(name)
    assert blobs(lab) == unrelated + 3
    lab.store.studies.delete(f"{lab.study.name}-copy")
    assert blobs(lab) == unrelated


def test_damaged_parts_are_found(new_lab: Labs, file: Path) -> None:
    """A part with other bytes than its name says is never used."""
    lab = new_lab()
    lab.store.data.push(lab.study, [file])
    engine = create_engine(lab.url)
    with engine.begin() as connection:
        connection.execute(update(schema.blobs).values(payload=b"other"))
    engine.dispose()
    with pytest.raises(
        StorageError, match=r"part \w{12} of x.bin must be as it was stored \(got 5 other bytes"
    ):
        content(lab, "x.bin")
    lab.store.studies.delete(lab.study.name)


def test_files_go_along_to_another_database(new_lab: Labs, file: Path, tmp_path: Path) -> None:
    """A copy in another database, such as an export, has the files."""
    lab = new_lab()
    lab.store.data.push(lab.study, [file])
    url = f"sqlite:///{tmp_path / 'there.db'}"
    selection = Selection(names=(lab.study.name,))
    Transfer(source=lab.url, target=url, selection=selection).run(notify=lambda _: None)
    with open_lab(url, lab) as there:
        assert content(there, "x.bin") == file.read_bytes()
    lab.store.studies.delete(lab.study.name)


def test_too_large_files_are_refused(new_lab: Labs, tmp_path: Path) -> None:
    """Large data belongs on a server, whose URL a study can name."""
    lab = new_lab()
    path = tmp_path / "large.bin"
    with path.open("wb") as file:
        file.truncate(257 * 2**20)
    with pytest.raises(
        StorageError, match=r"must be at most 256.0 MiB .* \(got 257.0 MiB\): put it on a server"
    ):
        lab.store.data.push(lab.study, [path])


def test_names_that_no_worker_would_read_are_refused(new_lab: Labs, tmp_path: Path) -> None:
    """A name that some machine would take for a folder or a drive is refused before anything is stored."""
    lab = new_lab()
    for name in ("9:30.csv", "a\\b.csv", "a\nb.csv"):
        (tmp_path / name).write_bytes(b"x")
        with pytest.raises(StorageError, match=r"must not have a colon, a backslash .* rename the file"):
            lab.store.data.push(lab.study, [tmp_path / name])
    assert lab.store.data.of_study(lab.study) is None
