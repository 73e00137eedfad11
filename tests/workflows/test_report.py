"""The paths of reports."""

from pathlib import Path

import pytest

from hpsearch.errors import HpsearchError
from hpsearch.workflows.report import default_report_path


def test_reports_lie_beside_the_database() -> None:
    """The report goes to `reports/` next to an SQLite file, and below the current folder for a server."""
    Path("storage").mkdir()
    assert default_report_path("sqlite:///storage/hpsearch.db", "digits") == Path(
        "storage/reports/digits.html"
    )
    server = "postgresql://ann:s3cret@host/d"
    pytest.importorskip("psycopg", reason="needs the extra `postgres`")
    assert default_report_path(server, "digits") == Path("reports/digits.html")
    assert Path("storage/reports").is_dir()


@pytest.mark.parametrize("name", ["../up", "a/b", "a b", ".hidden", "ü" * 200, "/", "-o", "con:", "a-b"])
def test_a_report_has_a_safe_name(name: str) -> None:
    """Under any name a study's report is a separate plain file in the folder of reports."""
    path = default_report_path("sqlite:///hpsearch.db", name)
    path.write_text("")
    assert path.parent == Path("reports")
    assert path.resolve().parent == Path("reports").resolve()
    assert not path.name.startswith((".", "-"))
    others = {
        default_report_path("sqlite:///hpsearch.db", other) for other in ("a-b", "up", "hidden", "o", "study")
    }
    assert (path in others) == (name == "a-b")


def test_a_folder_that_cannot_be_made_is_told() -> None:
    """If a file is in the way of the folder of reports, the error names it."""
    Path("reports").write_text("")
    with pytest.raises(
        HpsearchError, match=r"report: its folder must be writable \(got reports: File exists\)"
    ):
        default_report_path("sqlite:///hpsearch.db", "digits")
