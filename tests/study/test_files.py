"""The study files that come with hpsearch, and files that are not TOML or cannot be read."""

import os
from pathlib import Path

import pytest

from hpsearch.errors import StudyFileError
from hpsearch.study.files import MOST_BYTES, example_files, parse_document, read_text, with_examples


def test_every_study_file_is_an_example(repository: Path) -> None:
    """The examples are the files of the folder `studies`, by name."""
    assert {name: path.name for name, path in example_files().items()} == {
        path.stem: path.name for path in (repository / "studies").glob("*.toml")
    }


@pytest.mark.parametrize("given", ["nothing", "nothing.toml", "studies/digits", "digits.toml"])
def test_other_paths_are_unchanged(given: str) -> None:
    """Only the bare name of an example is replaced by its path."""
    assert with_examples(Path(given)) == Path(given)


def test_a_users_file_precedes_an_example() -> None:
    """A user's file has priority over an example of the same name."""
    assert with_examples(Path("digits")) == example_files()["digits"]
    Path("digits").write_text("")
    assert with_examples(Path("digits")) == Path("digits")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "name",
            "line 1, column 5: must be TOML (got \"name\"): Expected '=' after a key in a key/value pair",
        ),
        ('name = "x\n', 'line 1, column 10: must be TOML (got "name = \\"x"): Illegal character \'\\n\''),
        ("trials = \n", 'line 1, column 10: must be TOML (got "trials ="): Invalid value'),
        ("a = [1,\n", "end of document: must be TOML (got the end of the file): Invalid value"),
        ("trials = 1\ntrials = 2", "line 2, column 11: the key trials is given twice: keep one"),
        ("a.b = 1\na.b = 2\n", "line 2, column 8: the key a.b is given twice: keep one"),
        ("[data]\n[data]\n", "line 2, column 6: [data] is given twice: put its keys together"),
        ("[a.b]\n[a.b]\n", "line 2, column 5: [a.b] is given twice: put its keys together"),
        ("data = 1\n[data]\n", "line 2, column 6: the key data is given twice: keep one"),
        ("a = { low = 1, low = 2 }", "line 1, column 23: the key low is given twice: keep one"),
        ("a = 1\na = [\n  2,\n]\n", "line 4, column 2: the key is given twice: keep one"),
        (
            f"b = '[['  # [[[\na = {'[' * 5000}",
            (
                "line 2: lists and tables must not nest hundreds of levels deep (got 5000 levels): "
                "no key needs more than three"
            ),
        ),
        (
            f"b = '{'2' * 6000}'\na = {'1' * 5000}",
            (
                "line 2: a whole number must not have thousands of digits (got 11111111111111111111..., 5000 long): "
                "write a smaller one"
            ),
        ),
    ],
)
def test_a_syntax_error_has_its_line(text: str, problem: str) -> None:
    """A syntax error has line, column, content and reason; repeated keys are named."""
    with pytest.raises(StudyFileError) as caught:
        parse_document(text, source="studies/x.toml")
    assert str(caught.value) == f"studies/x.toml: 1 problem\n  {problem}"


def test_a_missing_file_is_reported() -> None:
    """A missing file is a problem with the given path."""
    with pytest.raises(StudyFileError) as caught:
        read_text(Path("studies/none.toml"))
    assert str(caught.value) == (
        "studies/none.toml: 1 problem\n  file: must exist (got studies/none.toml): check the path"
    )


def test_a_folder_is_reported(tmp_path: Path) -> None:
    """A folder is not a study file."""
    (tmp_path / "studies").mkdir()
    with pytest.raises(StudyFileError) as caught:
        read_text(Path("studies"))
    assert str(caught.value) == (
        "studies: 1 problem\n  file: must be a file (got the folder studies): name a .toml file in it"
    )


def test_a_missing_example_names_the_command_that_writes_it() -> None:
    """The error for a missing file with an example's name has the command that writes it."""
    with pytest.raises(StudyFileError) as caught:
        read_text(Path("studies/digits.toml"))
    assert str(caught.value).endswith("file: must exist (got studies/digits.toml): hpsearch init writes it")


def test_pipes_and_devices_are_refused_at_once(tmp_path: Path) -> None:
    """A pipe without a writer does not block, and an endless device does not fill memory."""
    os.mkfifo(tmp_path / "pipe.toml")
    for path in (tmp_path / "pipe.toml", Path("/dev/zero")):
        with pytest.raises(StudyFileError, match=r"must be a regular file .* write the study to a file"):
            read_text(path)


def test_a_file_too_large_to_be_a_study_is_refused(tmp_path: Path) -> None:
    """A file larger than any study is not read into memory."""
    path = tmp_path / "data.toml"
    with path.open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    with pytest.raises(StudyFileError, match=r"must not be larger than 16,777,216 bytes \(got 16,777,217\)"):
        read_text(path)


def test_other_encodings_are_reported(tmp_path: Path) -> None:
    """The error for a file that is not UTF-8 has the first wrong byte."""
    (tmp_path / "x.toml").write_bytes('name = "Größe"'.encode("latin-1"))
    with pytest.raises(StudyFileError) as caught:
        read_text(Path("x.toml"))
    assert str(caught.value) == (
        "x.toml: 1 problem\n  file: must be UTF-8 text (got byte 0xf6 at offset 10): save it as UTF-8"
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_an_unreadable_file_is_reported(tmp_path: Path) -> None:
    """A file without read permission is a problem of the file."""
    (tmp_path / "x.toml").touch(mode=0o000)
    with pytest.raises(StudyFileError) as caught:
        read_text(Path("x.toml"))
    assert str(caught.value) == (
        "x.toml: 1 problem\n  file: must be readable (got Permission denied): check its permissions"
    )


def test_other_system_errors_are_reported(tmp_path: Path) -> None:
    """Any other error of the operating system is reported in its words."""
    (tmp_path / "x.toml").touch()
    with pytest.raises(StudyFileError) as caught:
        read_text(Path("x.toml/y.toml"))
    assert str(caught.value) == (
        "x.toml/y.toml: 1 problem\n  file: must be readable (got Not a directory): check its permissions"
    )


def test_a_byte_order_mark_and_other_line_ends_are_valid(tmp_path: Path) -> None:
    """Files of Windows editors are read."""
    (tmp_path / "x.toml").write_bytes(b"\xef\xbb\xbfname = 1\r\ntrials = 2\r\n")
    assert parse_document(read_text(Path("x.toml")), source="x.toml") == {"name": 1, "trials": 2}


def test_a_data_source_in_place_of_a_study_file_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some data sets have an example study of their name, so people try the names of the others."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StudyFileError, match=r'data source, not a study: write data.source = "iris"'):
        read_text(Path("iris"))
