"""The files of studies whose data are arrays."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hpsearch.data.arrays import read_arrays
from hpsearch.data.dataset import RawData
from hpsearch.data.npz import read_npz
from hpsearch.data.prepare import prepare
from hpsearch.data.sources import load
from hpsearch.data.stored_arrays import data_folder, file_name, find_stored, is_stored, store_arrays
from hpsearch.study.spec import DataSpec

Refused = Callable[[Callable[[], object]], str]


def _raw(*, seed: int = 1, features: tuple[str, ...] = ()) -> RawData:
    random = np.random.Generator(np.random.PCG64(seed))
    inputs, targets = random.normal(size=(20, 2)), np.array(["no", "yes"] * 10)
    return RawData(inputs=inputs, targets=targets, where="data", origin="data", features=features)


def test_stored_arrays_are_read_as_they_were(tmp_path: Path) -> None:
    """The file has the same numbers in the same types, the same text and the same names of inputs."""
    raw = _raw(features=("größe", 'a "quoted" name'))
    source = store_arrays(raw, tmp_path / "data")
    assert Path(source).is_absolute()
    read = read_npz(Path(source))
    assert read.inputs.dtype == raw.inputs.dtype
    np.testing.assert_array_equal(read.inputs, raw.inputs)
    assert read.targets.tolist() == raw.targets.tolist()
    assert read.features == raw.features
    assert load(source, environment={}).classes == ("no", "yes")


def test_described_columns_are_stored_without_pickles(tmp_path: Path, refused: Refused) -> None:
    """Categories, dates and missing cells come back as they were; codes without a category are refused."""
    frame = pd.DataFrame(
        {"city": ["Rome", "Łódź", None] * 9, "n": [1.5, None, 3] * 9, "y": ["a", "b", "b"] * 9}
    )
    frame["day"] = pd.to_datetime(["2024-01-31", None, "2024-02-01"] * 9)
    raw = read_arrays(frame, target="y")
    source = store_arrays(raw, tmp_path)
    read = load(source, environment={})
    assert (read.columns, read.uses) == (raw.columns, raw.uses)
    np.testing.assert_array_equal(read.inputs, raw.inputs)
    assert store_arrays(raw, tmp_path) == source
    with np.load(source, allow_pickle=False) as archive:
        arrays = dict(archive)
    arrays["x"][0, 0] = 7
    np.savez(source, **arrays)
    assert "column city has codes without a category" in refused(lambda: load(source, environment={}))


@pytest.mark.parametrize("kind", ["u1", "i8", "f2", "f4", "f8", ">f8", "?"])
def test_every_type_of_number_can_be_stored(kind: str, tmp_path: Path) -> None:
    """Bytes stay an image, and any other type of number is read as it was."""
    raw = read_arrays((np.ones((4, 3), kind), [0, 1, 0, 1]))
    read = read_npz(Path(store_arrays(raw, tmp_path)))
    assert read.inputs.dtype == np.dtype(kind)
    assert read.is_image == raw.is_image == (kind == "u1")


def test_equal_arrays_share_one_file(tmp_path: Path) -> None:
    """The name is a fingerprint of numbers, types, targets and names; a second study writes nothing."""
    first = store_arrays(_raw(), tmp_path)
    written = Path(first).stat().st_mtime_ns
    assert store_arrays(_raw(), tmp_path) == first
    assert Path(first).stat().st_mtime_ns == written
    others = [_raw(seed=2), _raw(features=("a", "b"))]
    assert len({first, *(store_arrays(raw, tmp_path) for raw in others)}) == 3
    x, y = np.ones((2, 2)), [0, 1]
    names = {
        file_name(read_arrays(data))
        for data in (
            (x, y),
            (x.astype("u1"), y),
            (x.T.reshape(2, 1, 2), y),
            (x, [False, True]),
            (x, ["0", "1"]),
        )
    }
    assert len(names) == 5


def test_the_order_in_memory_does_not_count(tmp_path: Path) -> None:
    """Arrays in Fortran order, and parts of larger ones, have the name of their contents."""
    x = np.arange(12.0).reshape(4, 3)
    names = {
        file_name(read_arrays((one, [0, 1, 0, 1])))
        for one in (x, np.asfortranarray(x), np.repeat(x, 2, 0)[::2])
    }
    assert len(names) == 1


def test_a_damaged_file_is_written_again(tmp_path: Path) -> None:
    """A file whose contents do not match its name is replaced when the same arrays are stored."""
    source = Path(store_arrays(_raw(), tmp_path))
    whole = source.read_bytes()
    for damaged in (b"", b"text", whole[:-100]):
        source.write_bytes(damaged)
        assert store_arrays(_raw(), tmp_path) == str(source)
        assert file_name(read_npz(source)) == source.name
    np.savez(source, x=np.ones((2, 2)), y=np.arange(2))
    store_arrays(_raw(), tmp_path)
    assert file_name(read_npz(source)) == source.name


def test_a_killed_writer_leaves_no_file(tmp_path: Path) -> None:
    """A process that dies while it writes leaves no file that a worker could read."""
    script = (
        "import os, numpy as np\n"
        "from pathlib import Path\n"
        "from hpsearch.data.arrays import read_arrays\n"
        "from hpsearch.data.stored_arrays import store_arrays\n"
        "os.fsync = lambda _: os._exit(9)\n"
        f"store_arrays(read_arrays((np.ones((4, 2)), [0, 1, 0, 1])), Path({str(tmp_path)!r}))\n"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 9
    (left,) = tmp_path.iterdir()
    assert left.suffix == ".part"
    store_arrays(_raw(), tmp_path)
    assert left.exists()  # it may still be written
    long_ago = time.time() - 2 * 86_400
    os.utime(left, (long_ago, long_ago))
    store_arrays(_raw(seed=2), tmp_path)
    assert not left.exists()


def test_a_failed_write_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Refused
) -> None:
    """If the disk is full, the error names the folder and the remedy, and no file is left."""

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hpsearch.data.stored_arrays.os.fsync", full)
    folder = tmp_path / "data"
    assert refused(lambda: store_arrays(_raw(), folder)) == (
        "data: arrays are stored in a file that workers read, so its folder must be writable"
        f" (got {folder}: No space left on device):"
        " set HPSEARCH_DATA to a folder with room that can be written"
    )
    assert list(folder.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, refused: Refused) -> None:
    """If the folder cannot be made, the error names the variable to set."""
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "data"
    text = refused(lambda: store_arrays(_raw(), folder))
    assert f"(got {folder}: Not a directory): set HPSEARCH_DATA" in text


def test_where_arrays_are_stored(tmp_path: Path) -> None:
    """HPSEARCH_DATA wins; else the folder is next to an SQLite file, or `storage/data` for a server."""
    database = tmp_path / "lab" / "lab.db"
    assert data_folder(database, {}) == tmp_path / "lab" / "data"
    assert data_folder(Path("lab.db"), {}) == Path.cwd() / "data"
    assert data_folder(None, {}) == Path.cwd() / "storage" / "data"
    assert data_folder(database, {"HPSEARCH_DATA": ""}) == tmp_path / "lab" / "data"
    assert data_folder(database, {"HPSEARCH_DATA": "here"}) == Path.cwd() / "here"


def test_another_machine_reads_its_own_copy(tmp_path: Path, refused: Refused) -> None:
    """Without the file the error names the file to copy; with HPSEARCH_DATA the copy in that folder is read."""
    source = Path(store_arrays(_raw(), tmp_path / "there"))
    copy = tmp_path / "copied"
    (tmp_path / "there").rename(copy)
    assert is_stored(str(source))
    assert not is_stored("table.npz")
    assert refused(lambda: load(str(source), environment={})) == (
        f"data.source: the study's arrays must be readable on this machine (got no file {source}):"
        " copy the file from the machine that created the study to the same path,"
        " or into a folder and set HPSEARCH_DATA to that folder"
    )
    other = {"HPSEARCH_DATA": str(tmp_path / "empty")}
    assert f"(got no file {source} nor {tmp_path / 'empty' / source.name})" in refused(
        lambda: load(str(source), environment=other)
    )
    assert find_stored(str(source), {"HPSEARCH_DATA": str(copy)}) == str(copy / source.name)
    assert load(str(source), environment={"HPSEARCH_DATA": str(copy)}).classes == ("no", "yes")


def test_a_changed_file_has_another_fingerprint(tmp_path: Path) -> None:
    """Workers compare the fingerprint of their data with the study's, so changed arrays are refused."""

    def fingerprint() -> str:
        return prepare(DataSpec(source=source), seed=1, precision="float32", environment={}).fingerprint

    raw = _raw()
    source = store_arrays(raw, tmp_path)
    before = fingerprint()
    changed = raw.inputs.copy()
    changed[3, 1] += 1e-9
    np.savez(source, x=changed, y=raw.targets)
    assert fingerprint() != before
