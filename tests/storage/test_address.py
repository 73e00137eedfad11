"""Addresses: URLs are understood, given a driver, and shown without a password."""

import re
import sys

import pytest

from hpsearch.errors import StorageError, mask
from hpsearch.installation import install_command
from hpsearch.storage.address import parse_address

EXAMPLES = (
    "give a URL such as sqlite:///storage/hpsearch.db, postgresql://user@host/database "
    "or mysql://user@host/database"
)


@pytest.mark.parametrize(
    ("text", "url", "family"),
    [
        ("sqlite:///storage/x.db", "sqlite+pysqlite:///storage/x.db", "sqlite"),
        ("sqlite:////tmp/x.db", "sqlite+pysqlite:////tmp/x.db", "sqlite"),
        ("postgresql://u:p@h:1/d", "postgresql+psycopg://u:p@h:1/d", "postgresql"),
        ("postgresql+psycopg://u@h/d", "postgresql+psycopg://u@h/d", "postgresql"),
        ("mysql://u@h/d", "mysql+pymysql://u@h/d", "mysql"),
        ("mariadb://u@h/d", "mariadb+pymysql://u@h/d", "mariadb"),
    ],
)
def test_a_url_without_a_driver_gets_one_that_is_installed(
    text: str, url: str, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The URLs that people write work with psycopg 3 and PyMySQL, if these are the drivers there."""
    for module in ("psycopg2", "MySQLdb"):
        monkeypatch.setitem(sys.modules, module, None)
    address = parse_address(text)
    assert (address.full, address.family) == (url, family)


def test_a_file_is_relative_to_the_current_folder_or_absolute() -> None:
    """Three slashes begin a relative path, four an absolute one."""
    assert str(parse_address("sqlite:///storage/x.db").path) == "storage/x.db"
    assert str(parse_address("sqlite:////tmp/x.db").path) == "/tmp/x.db"
    assert parse_address("postgresql://h/d").path is None


@pytest.mark.parametrize(
    "text", ["sqlite:///x.db?timeout=5", "sqlite:///file:x.db?mode=rwc&uri=true", "sqlite:///file:x.db?uri=1"]
)
def test_options_that_sqlite_has_are_kept(text: str) -> None:
    """What the driver takes, and with `uri=true` what SQLite takes, stays in the URL."""
    address = parse_address(text)
    assert (str(address.path), dict(address.url.query)) == (
        "x.db",
        dict(pair.split("=") for pair in text.partition("?")[2].split("&")),
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://u:s3cret@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u:s%2F%403cret@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u:s3 cret@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u v:s3cret@h/d", "postgresql://u v:***@h/d"),
        (
            "mysql://h/d?user=u&password=s3cret&charset=utf8mb4",
            "mysql://h/d?user=u&password=***&charset=utf8mb4",
        ),
        ("postgresql://h/d?passwd=s3cret", "postgresql://h/d?passwd=***"),
        ("sqlite:///x.db", "sqlite:///x.db"),
        ("sqlite:///a:b@c/x.db", "sqlite:///a:b@c/x.db"),
    ],
)
def test_a_url_is_shown_without_its_password(text: str, shown: str) -> None:
    """No password is in what people read, wherever the URL had it."""
    assert parse_address(text).shown == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("u:s3cret@h/d", "u:***@h/d"),
        ("postgresql:/u:s3/cret@h", "postgresql:***@h"),
        ("postgresql://u:s3@cret@h/d", "postgresql://u:***@h/d"),
        ("//u:s3:cret@h password=s3cret", "//u:***@h password=***"),
        ("plain", "plain"),
        ("TypeError: odd operands for @: 3", "TypeError: odd operands for @: 3"),
        ("RuntimeError: boom at mysql://u:s3 c'ret@h/d", "RuntimeError: boom at mysql://u:***@h/d"),
        ("hpsearch dashboard --token 's3 cret' --port 1", "hpsearch dashboard --token *** --port 1"),
        ("http://h/?token=s3cret&x=1", "http://h/?token=***&x=1"),
    ],
)
def test_text_that_is_no_url_is_masked_too(text: str, shown: str) -> None:
    """What looks like a password is replaced, even if nothing else can be understood."""
    assert mask(text) == shown


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("digits.db", f'storage: must be a database URL (got "digits.db"): {EXAMPLES}'),
        ("", f'storage: must be a database URL (got ""): {EXAMPLES}'),
        ("u:s3cret@h", f'storage: must be a database URL (got "u:***@h"): {EXAMPLES}'),
        (
            "postgres://u:s3cret@h/d",
            (
                "postgres://u:***@h/d: the database must be sqlite, postgresql, mysql or mariadb "
                '(got "postgres"): did you mean "postgresql"?'
            ),
        ),
        (
            "oracle://h/d",
            (
                "oracle://h/d: the database must be sqlite, postgresql, mysql or mariadb "
                f'(got "oracle"): {EXAMPLES}'
            ),
        ),
        (
            "postgresql+asyncpg://h/d",
            (
                "postgresql+asyncpg://h/d: the driver must be psycopg or psycopg2 "
                '(got "asyncpg"): leave it out, as in postgresql://...'
            ),
        ),
        (
            "mysql://u:s 3@h",
            "mysql://u:***@h: must name a database (got none): add its name, as in mysql://user@host/database",
        ),
        (
            "postgresql://u:s 3@h:port/d",
            f'storage: must be a database URL (got "postgresql://u:***@h:port/d"): {EXAMPLES}',
        ),
        (
            "sqlite://",
            (
                "sqlite://: must be a file, because workers share it (got a database in memory): "
                "give a URL such as sqlite:///storage/hpsearch.db"
            ),
        ),
        (
            "sqlite://folder/x.db",
            (
                "sqlite://folder/x.db: the path of an SQLite file must follow three slashes (got two): "
                "write sqlite:///folder/x.db"
            ),
        ),
        (
            "sqlite:///x.db?foo=bar",
            (
                "sqlite:///x.db?foo=bar: options after the ? must be timeout, uri, cached_statements, "
                'check_same_thread, detect_types or isolation_level (got "foo"): leave it out'
            ),
        ),
        (
            "sqlite:///x.db?timeuot=5",
            (
                "sqlite:///x.db?timeuot=5: options after the ? must be timeout, uri, cached_statements, "
                'check_same_thread, detect_types or isolation_level (got "timeuot"): did you mean "timeout"?'
            ),
        ),
        (
            "sqlite:///x.db?mode=ro",
            (
                "sqlite:///x.db?mode=ro: options after the ? must be timeout, uri, cached_statements, "
                'check_same_thread, detect_types or isolation_level (got "mode"): '
                "write sqlite:///file:x.db?mode=ro&uri=true"
            ),
        ),
        (
            "sqlite:///:memory:",
            (
                "sqlite:///:memory:: must be a file, because workers share it (got a database in memory): "
                "give a URL such as sqlite:///storage/hpsearch.db"
            ),
        ),
        (
            "sqlite:///file:x?mode=memory&uri=true",
            (
                "sqlite:///file:x?mode=memory&uri=true: must be a file, because workers share it "
                "(got a database in memory): give a URL such as sqlite:///storage/hpsearch.db"
            ),
        ),
    ],
)
def test_what_cannot_be_a_database_is_refused(text: str, message: str) -> None:
    """Each refusal states what a URL must be, what was given, and what to give."""
    with pytest.raises(StorageError) as caught:
        parse_address(text)
    assert str(caught.value) == message
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("text", "missing", "message"),
    [
        (
            "postgresql://u:s3cret@h/d",
            ["psycopg", "psycopg2"],
            ("postgresql://u:***@h/d: needs the driver psycopg, which is not installed: INSTALL(postgres)"),
        ),
        (
            "mysql://h/d",
            ["pymysql", "MySQLdb"],
            "mysql://h/d: needs the driver pymysql, which is not installed: INSTALL(mysql)",
        ),
        (
            "postgresql+psycopg2://h/d",
            ["psycopg2"],
            (
                "postgresql+psycopg2://h/d: needs the driver psycopg2, which is not installed: "
                "write postgresql://... and INSTALL(postgres), or install psycopg2"
            ),
        ),
    ],
)
def test_a_missing_driver_names_what_to_install(
    text: str, missing: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database whose driver is not there is refused with the extra that brings it."""
    for module in missing:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(StorageError) as caught:
        parse_address(text)
    told = re.sub(r"INSTALL\((\w+)\)", lambda extra: install_command(extra[1]), message)
    assert str(caught.value) == told
