"""Databases for the contract suite: each test runs on SQLite, PostgreSQL and MariaDB.

`HPSEARCH_TEST_POSTGRES` and `HPSEARCH_TEST_MARIADB` name the servers. If one is missing its tests are
skipped, or fail when `HPSEARCH_REQUIRE_SERVERS` is 1.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import SQLAlchemyError

from hpsearch.storage.store import Store, open_store
from tests.contract.laboratory import FINGERPRINT, Lab, a_spec

DIALECTS: Final = ("sqlite", "postgresql", "mariadb")

_SERVERS: Final[Mapping[str, tuple[str, str]]] = {
    "postgresql": ("HPSEARCH_TEST_POSTGRES", "postgresql+psycopg://postgres@127.0.0.1:5432/postgres"),
    "mariadb": ("HPSEARCH_TEST_MARIADB", "mysql+pymysql://root@127.0.0.1:3306/"),
}


def _server_url(dialect: str) -> str:
    """Return the URL of a server that answers; else skip the test, or fail it if servers are required."""
    variable, default = _SERVERS[dialect]
    url = os.environ.get(variable, default)
    engine = create_engine(url)
    try:
        with engine.connect():
            return url
    except SQLAlchemyError as error:
        reason = f"no {dialect} server answers at {make_url(url)!r} ({variable}): {error}"
        if os.environ.get("HPSEARCH_REQUIRE_SERVERS") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    finally:
        engine.dispose()


def _run_on_server(url: str, statement: str) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()


Databases = Callable[[str], str]


@pytest.fixture(scope="session")
def new_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    """Provide a function that makes an empty database of a dialect and returns its URL."""
    drops: list[tuple[str, str]] = []

    def make(dialect: str) -> str:
        name = f"hpsearch_test_{uuid4().hex}"
        if dialect == "sqlite":
            return f"sqlite:///{tmp_path_factory.mktemp('database')}/{name}.db"
        server = _server_url(dialect)
        _run_on_server(server, f"CREATE DATABASE {name}")
        force = " WITH (FORCE)" if dialect == "postgresql" else ""
        drops.append((server, f"DROP DATABASE {name}{force}"))
        return make_url(server).set(database=name).render_as_string(hide_password=False)

    yield make
    for server, statement in drops:
        _run_on_server(server, statement)


@pytest.fixture(params=DIALECTS)
def dialect(request: pytest.FixtureRequest) -> str:
    """Provide each kind of database in turn."""
    chosen: str = request.param
    return chosen


@pytest.fixture
def fresh_url(dialect: str, new_database: Databases) -> str:
    """Provide the URL of a database with nothing in it."""
    return new_database(dialect)


@pytest.fixture(scope="session")
def shared_urls(new_database: Databases) -> dict[str, str]:
    """Provide the databases, by dialect, that tests with studies of their own share."""
    return {}


@pytest.fixture
def url(dialect: str, new_database: Databases, shared_urls: dict[str, str]) -> str:
    """Provide the URL of a database that other tests have studies in."""
    if dialect not in shared_urls:
        shared_urls[dialect] = new_database(dialect)
    return shared_urls[dialect]


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """Provide an open store."""
    with open_store(url) as opened:
        yield opened


@pytest.fixture
def new_lab(store: Store, url: str) -> Iterator[Callable[..., Lab]]:
    """Provide a function that makes a study with a budget and returns a lab for it."""
    labs: list[Lab] = []

    def make(trials: int = 20, **changes: Any) -> Lab:
        spec = a_spec(trials=trials, **changes)
        study = store.studies.create(spec, fingerprint=FINGERPRINT)
        labs.append(Lab(store=store, url=url, study=study))
        return labs[-1]

    yield make
    for lab in labs:
        lab.close()
