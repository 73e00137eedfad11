"""The report's file."""

import os
from pathlib import Path

import pytest

from hpsearch.errors import HpsearchError
from hpsearch.report.file import check_report_path, write_page


def test_a_report_replaces_the_one_before(tmp_path: Path) -> None:
    """After writing, the folder contains the whole new page and nothing else."""
    path = tmp_path / "report.html"
    path.write_text("old")
    write_page("ü", path)
    assert path.read_text(encoding="utf-8") == "ü"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    """A report for a folder that does not exist is an error that names it, and creates nothing."""
    folder = tmp_path / "none"
    with pytest.raises(HpsearchError) as caught:
        write_page("new", folder / "report.html")
    assert str(caught.value) == (
        f"report: its folder must exist (got {folder}): make it, or name another file"
    )
    assert not folder.exists()


def test_a_folder_is_not_replaced(tmp_path: Path) -> None:
    """If the path is a folder, the error states that, and no unfinished file is left."""
    path = tmp_path / "report.html"
    path.mkdir()
    with pytest.raises(HpsearchError) as caught:
        write_page("new", path)
    assert str(caught.value) == f"report: must be a file (got the folder {path}): name a file in it"
    assert list(tmp_path.iterdir()) == [path]


def test_a_device_is_not_replaced(tmp_path: Path) -> None:
    """A pipe or a device, such as /dev/null, is not replaced by a file."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(
        HpsearchError, match=r"must be a file \(got the device or pipe .*pipe\): name another file"
    ):
        write_page("new", path)
    assert path.is_fifo()


def test_a_report_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    """An error of the operating system is reported in its words, and no unfinished file is left."""
    path = tmp_path / f"{'x' * 300}.html"
    with pytest.raises(HpsearchError, match=r"report: must be writable .*: File name too long"):
        write_page("new", path)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If writing fails half-way, the error has the reason, and the old report stays."""
    path = tmp_path / "report.html"
    path.write_text("old")

    def refuse(_: Path, __: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(HpsearchError, match="No space left on device"):
        write_page("new", path)
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_text() == "old"


def test_a_check_changes_nothing(tmp_path: Path) -> None:
    """The check before a run keeps the old report, and creates no other file."""
    path = tmp_path / "report.html"
    path.write_text("old")
    check_report_path(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_read_only_folder_is_an_error_before_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check reports in the system's words why the file cannot be written, before any training."""

    def refuse(_: Path, __: str, *, encoding: str) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "write_text", refuse)
    with pytest.raises(HpsearchError) as caught:
        check_report_path(tmp_path / "report.html")
    assert str(caught.value) == (
        f"report: must be writable (got {tmp_path / 'report.html'}: Permission denied): name another file"
    )
