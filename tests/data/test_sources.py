"""The sources of data."""

import gzip
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from hpsearch.data.sources import CATALOGUE, BuiltIn, load
from hpsearch.data.table import TableReading
from hpsearch.errors import DataError

Refused = Callable[[Callable[[], object]], str]


@pytest.mark.parametrize("entry", [e for e in CATALOGUE if e.name != "mnist"], ids=lambda e: e.name)
def test_the_catalogue_tells_the_truth(entry: BuiltIn) -> None:
    """Sizes and task in the catalogue are those of the data."""
    data = load(entry.name, environment={})
    assert data.inputs.shape == (entry.examples, entry.inputs)
    assert (data.task, len(data.classes)) == (entry.task, entry.classes)
    assert data.sealed is None
    assert data.name == entry.name


def test_the_catalogue_is_free() -> None:
    """The catalogue names every source, MNIST too, without reading one."""
    names = [entry.name for entry in CATALOGUE]
    assert names == ["digits", "breast_cancer", "wine", "iris", "diabetes", "mnist"]


def test_names_of_classes_are_the_sources_own() -> None:
    """Classes that scikit-learn names have these names."""
    assert load("iris", environment={}).classes == ("setosa", "versicolor", "virginica")
    assert load("breast_cancer", environment={}).classes == ("malignant", "benign")
    assert load("digits", environment={}).classes == tuple("0123456789")


def test_a_task_overrides_the_source() -> None:
    """An explicit task overrides the task of a built-in source."""
    assert load("diabetes", task="classification", environment={}).task == "classification"
    assert load("digits", task="regression", environment={}).targets.shape == (1797, 1)


def test_a_path_is_read_by_what_it_is(idx_folder: Path) -> None:
    """A folder holds IDX files, a file's suffix is its format, and the path's stem is the name."""
    data = load(str(idx_folder), environment={})
    assert (data.name, data.inputs.shape, data.inputs.dtype.name) == ("images", (30, 6), "uint8")
    assert data.sealed is not None
    assert data.sealed.inputs.shape == (6, 6)

    np.savez("numbers.npz", x=np.ones((4, 2)), y=np.array([0, 1, 0, 1]))
    assert load("numbers.npz", environment={}).inputs.shape == (4, 2)

    Path("TABLE.CSV").write_text("1,x\n2,y\n3,y\n", encoding="utf-8")
    assert load("TABLE.CSV", environment={}).classes == ("x", "y")


def test_home_is_the_environments(tmp_path: Path) -> None:
    """A leading ~ is HOME of the environment that is handed over."""
    (tmp_path / "t.csv").write_text("1,x\n2,y\n", encoding="utf-8")
    assert load("~/t.csv", environment={"HOME": str(tmp_path)}).origin == str(tmp_path / "t.csv")


def test_a_name_wins_over_a_file() -> None:
    """To read a file that is named like a built-in source, give its path with a folder."""
    Path("iris").mkdir()
    assert load("iris", environment={}).inputs.shape == (150, 4)
    with pytest.raises(DataError, match="a folder must hold the files"):
        load("./iris/", environment={})


def test_an_unknown_name_is_refused(refused: Refused) -> None:
    """A word that is neither name nor file gets the nearest name, or all of them."""
    text = 'data.source: must be a built-in name, or a file or folder (got "{}"): {}'
    assert refused(lambda: load("digit", environment={})) == text.format("digit", 'did you mean "digits"?')
    assert refused(lambda: load("qqq", environment={})) == text.format(
        "qqq", "known are breast_cancer, diabetes, digits, iris, mnist, wine"
    )


@pytest.mark.parametrize("source", ["my.csv", "folder/mnist", "./mnist"])
def test_a_missing_file_is_refused(source: str, tmp_path: Path, refused: Refused) -> None:
    """A path that does not exist is shown in full."""
    assert refused(lambda: load(source, environment={})) == (
        f'data.source: the file must exist (got "{source}", that is {tmp_path / source}): correct the path'
    )


def test_a_url_is_refused(refused: Refused) -> None:
    """A URL is refused as a source: only built-in names are downloaded."""
    assert refused(lambda: load("https://example.com/x.csv", environment={})).startswith(
        "data: data from elsewhere is cached in a folder (got neither XDG_CACHE_HOME nor HOME)"
    )


def test_an_unknown_suffix_is_refused(refused: Refused) -> None:
    """A file of another kind is refused by its suffix, never guessed."""
    Path("data.xlsx").write_bytes(b"PK")
    assert refused(lambda: load("data.xlsx", environment={})) == (
        "data.source: a file must end in .csv, .tsv, .data, .txt (these also with .gz), .parquet or .npz"
        ' (got "data.xlsx"): convert it to one of these'
    )


@pytest.mark.parametrize("name", ["d.npz", "d.csv", "d.parquet"])
def test_an_empty_file_is_refused(name: str, refused: Refused) -> None:
    """A file of 0 bytes is refused as such, whatever it should be."""
    Path(name).touch()
    assert refused(lambda: load(name, environment={})) == (
        f"{name}: a data file must hold something (got 0 bytes): give it data"
    )


@pytest.mark.parametrize("source", ["iris", "mnist", "d.npz"])
def test_only_tables_have_named_targets(source: str, refused: Refused) -> None:
    """A target's name is refused for a source without named columns."""
    assert refused(lambda: load(source, target="kind", environment={})) == (
        f'data.target: only columns of tables have names (got "kind" for {source}): leave it out'
    )


@pytest.mark.parametrize("source", ["iris", "d.npz", "d.parquet"])
def test_only_text_has_a_header(source: str, refused: Refused) -> None:
    """A decision about the first line is refused for a source without lines."""
    assert refused(lambda: load(source, reading=TableReading(header="no"), environment={})) == (
        f'data.header: only tables in text have a line for it (got "no" for {source}): leave it out'
    )


@pytest.fixture
def _unprivileged() -> Iterator[None]:
    """Drop the capabilities that let the superuser read every file."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_file_without_permission_is_refused(
    tmp_path: Path, request: pytest.FixtureRequest, refused: Refused
) -> None:
    """A refusal of the operating system is reported in its own words."""
    path = tmp_path / "d.csv"
    path.write_text("1,2\n", encoding="utf-8")
    path.chmod(0)
    request.getfixturevalue("_unprivileged")
    assert refused(lambda: load(str(path), environment={})) == (
        f'{path}: must be readable (got "Permission denied"): check the file and its permissions'
    )


@pytest.mark.parametrize(
    "name", ["t.csv", "t.tsv", "t.data", "t.txt", "t.CSV", "t.csv.gz", "t.data.gz", "t.TSV.GZ"]
)
@pytest.mark.parametrize("delimiter", [",", ";", "\t", " ", "   "])
def test_text_tables_are_read_whatever_their_ending(name: str, delimiter: str) -> None:
    """Tables as they are found, `.data` with spaces or gzipped, are read as they are."""
    text = "".join(f"{delimiter.join(row)}\n" for row in (("1.5", "2", "yes"), ("3", "-4", "no")))
    Path(name).write_bytes(gzip.compress(text.encode()) if name.lower().endswith(".gz") else text.encode())
    data = load(name, target=None, environment={})
    assert data.inputs.tolist() == [[1.5, 2], [3, -4]]
    assert data.classes == ("no", "yes")


@pytest.mark.parametrize("name", ["d.npz", "d.csv", "d.parquet", "train-images-idx3-ubyte"])
def test_a_pipe_is_refused_at_once(name: str, refused: Refused) -> None:
    """A pipe that no process writes to does not hang."""
    Path("folder").mkdir()
    os.mkfifo(f"folder/{name}")
    Path("folder/train-labels-idx1-ubyte").write_bytes(b"")
    source = f"folder/{name}" if "." in name else "folder"
    assert "must be a regular file (got something else)" in refused(lambda: load(source, environment={}))
