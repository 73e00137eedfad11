"""Odd URLs and options of a database: each is refused quickly, in plain words, and without a password."""

import time
from pathlib import Path

import pytest

from hpsearch.errors import StorageError
from hpsearch.storage.store import open_store
from tests.contract.odd_urls import PASSWORD, odd_urls

LONGEST_S = 10.0


# PyMySQL leaves the socket open on which it met no server.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_no_url_is_a_fault_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the URL is, the store opens or StorageError names it; never another error, nor a password."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.db").write_text("no database " * 100)
    wrong = []
    for template in odd_urls(seed=20170523, doubles=40):
        url = template.replace("{tmp}", str(tmp_path)).replace("{password}", PASSWORD)
        began = time.monotonic()
        try:
            open_store(url).close()
        except StorageError as error:
            if PASSWORD in str(error) or len(str(error).splitlines()) > 2:
                wrong.append(f"{url!a}: {error!a}")
        except Exception as error:  # noqa: BLE001 # that is what is looked for
            wrong.append(f"{url!a}: {error!r}")
        if time.monotonic() - began > LONGEST_S:
            wrong.append(f"{url!a}: took {time.monotonic() - began:.1f} s")
    assert wrong == []


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (
            "postgresql+psycopg://h/d?prepare_threshold=often",
            'the option "prepare_threshold" must be a whole number, at least 0 (got "often")',
        ),
        (
            "postgresql+psycopg://h/d?row_factory=dict_row",
            'no URL can set the option "row_factory" of psycopg: leave it out',
        ),
        (
            "mysql+pymysql://h/d?max_allowed_packet=big",
            'the option "max_allowed_packet" must be a whole number, at least 1024 (got "big")',
        ),
        (
            "mysql+pymysql://h/d?read_default_file=/dev/full",
            'the option "read_default_file" must name a file (got /dev/full): check its path',
        ),
        ("mysql+pymysql://h:99999/d", "the port must be a number from 1 to 65535 (got 99999)"),
        ("sqlite:///a%00b.db", r"no part may hold the character '\x00': leave it out"),
    ],
)
def test_what_is_wrong_is_named(url: str, message: str) -> None:
    """A refusal names the option or the part of the URL, the rule, and the value."""
    with pytest.raises(StorageError) as caught:
        open_store(url)
    assert str(caught.value) == f"{url}: {message}"


def test_a_malformed_file_of_options_is_named_and_not_shown(tmp_path: Path) -> None:
    """Its lines, which may be passwords, are not shown."""
    file = tmp_path / "my.cnf"
    file.write_text(f"password = {PASSWORD}\n")
    with pytest.raises(StorageError, match=r"check read_default_file$") as caught:
        open_store(f"mysql+pymysql://127.0.0.1:9/d?read_default_file={file}")
    assert PASSWORD not in str(caught.value)
