"""Databases of the benchmark's own: on SQLite in a temporary folder, and on the servers of 127.0.0.1."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Final
from uuid import uuid4

from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import SQLAlchemyError

SERVERS: Final[Mapping[str, tuple[str, str]]] = {
    "PostgreSQL": ("HPSEARCH_TEST_POSTGRES", "postgresql+psycopg://postgres@127.0.0.1:5432/postgres"),
    "MariaDB": ("HPSEARCH_TEST_MARIADB", "mysql+pymysql://root@127.0.0.1:3306/"),
}
"""Variables that name the servers, as in the tests, and where they are otherwise."""


@contextmanager
def sqlite() -> Iterator[str]:
    """Provide the URL of a new SQLite database, which is gone in the end."""
    with tempfile.TemporaryDirectory(prefix="hpsearch-benchmark-") as folder:
        yield f"sqlite:///{folder}/benchmark.db"


@contextmanager
def on_server(kind: str) -> Iterator[str | None]:
    """Provide the URL of a new database on the server of that kind, which is dropped in the end; None without one."""
    variable, default = SERVERS[kind]
    server = os.environ.get(variable, default)
    name = f"hpsearch_benchmark_{uuid4().hex}"
    if not _ran(server, f"CREATE DATABASE {name}"):
        yield None
        return
    try:
        yield make_url(server).set(database=name).render_as_string(hide_password=False)
    finally:
        _ran(server, f"DROP DATABASE {name}" + (" WITH (FORCE)" if kind == "PostgreSQL" else ""))


@contextmanager
def every() -> Iterator[dict[str, str]]:
    """Provide the URLs of new databases by kind, of every kind that there is."""
    with ExitStack() as stack:
        urls = {"SQLite": stack.enter_context(sqlite())}
        for kind in SERVERS:
            url = stack.enter_context(on_server(kind))
            if url is not None:
                urls[kind] = url
        yield urls


def _ran(server: str, statement: str) -> bool:
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.execute(text(statement))
    except SQLAlchemyError:
        return False
    finally:
        engine.dispose()
    return True
