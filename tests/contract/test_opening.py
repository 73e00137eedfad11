"""Opening: empty databases are filled once, whoever comes; other versions are refused; health is measured."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, inspect, make_url, text

from hpsearch.errors import StorageError, StorageUnavailableError
from hpsearch.storage import optuna_schema, schema
from hpsearch.storage.check import check
from hpsearch.storage.store import open_store
from tests.contract.laboratory import FINGERPRINT, Lab, a_spec, stock_storage

OPEN = "import sys; from hpsearch.storage.store import open_store; open_store(sys.argv[1]).close()"


@contextmanager
def changing(url: str) -> Iterator[Engine]:
    """Give an engine to meddle with a database."""
    engine = create_engine(make_url(url))
    yield engine
    engine.dispose()


def test_many_that_open_an_empty_database_fill_it_once(fresh_url: str) -> None:
    """Processes that all find no tables end up with one good set of them."""
    command = [sys.executable, "-W", "error", "-c", OPEN, fresh_url]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(5)]
    assert [process.communicate(timeout=120)[1] for process in processes] == [""] * 5
    assert [process.returncode for process in processes] == [0] * 5
    with changing(fresh_url) as engine, engine.connect() as connection:
        for table, version in (("alembic_version", optuna_schema.HEAD), ("hpsearch_schema", schema.VERSION)):
            assert connection.execute(text(f"SELECT * FROM {table}")).scalars().all() == [version]


def test_our_tables_join_those_of_a_stock_client(fresh_url: str) -> None:
    """A database that Optuna made gets our tables beside its own, and keeps its studies."""
    storage = stock_storage(fresh_url)
    storage.create_new_study([], "theirs")
    storage.remove_session()
    storage.engine.dispose()
    with open_store(fresh_url) as store:
        assert store.foreign_studies() == ["theirs"]
        study = store.create_study(a_spec(), fingerprint=FINGERPRINT)
        assert store.studies() == [study]


def test_optuna_can_create_and_delete_beside_our_tables(fresh_url: str) -> None:
    """No table of ours refers to Optuna's, so none keeps its owner from doing anything."""
    open_store(fresh_url).close()
    with changing(fresh_url) as engine:
        for table in schema.metadata.tables:
            assert inspect(engine).get_foreign_keys(table) == []


def test_nothing_is_made_unless_asked(fresh_url: str, dialect: str) -> None:
    """Without `create` a database without studies of ours is an error, and stays as it is."""
    with pytest.raises(StorageError) as caught:
        open_store(fresh_url, create=False)
    shown = make_url(fresh_url).render_as_string()
    if dialect == "sqlite":
        path = make_url(fresh_url).database
        expected = f"{shown}: there is no such file (got {path}): create a study first, or check the path"
        assert not Path(str(path)).exists()
    else:
        expected = f"{shown}: holds no studies of hpsearch yet: create one first, or check the URL"
    assert str(caught.value) == expected
    open_store(fresh_url).close()
    open_store(fresh_url, create=False).close()


@pytest.mark.parametrize("opens", [open_store, check])
def test_a_newer_schema_of_ours_is_refused(fresh_url: str, opens: Callable[[str], object]) -> None:
    """A database of a newer hpsearch is left alone, with both versions named."""
    open_store(fresh_url).close()
    with changing(fresh_url) as engine, engine.begin() as connection:
        connection.execute(text("UPDATE hpsearch_schema SET version = 7"))
    with pytest.raises(StorageError) as caught:
        opens(fresh_url)
    assert str(caught.value) == (
        f"{make_url(fresh_url).render_as_string()}: its hpsearch tables must be of version 1 or older (got 7): "
        "use a newer hpsearch than 0.1.0"
    )


@pytest.mark.parametrize(
    ("version", "age", "remedy"),
    [
        ("v3.0.0.d", "older", "run `optuna storage upgrade --storage {shown}`"),
        ("v3.10.0.a", "newer", "use a newer hpsearch than 0.1.0"),
        ("w1", "newer", "use a newer hpsearch than 0.1.0"),
        ("none", "older", "run `optuna storage upgrade --storage {shown}`"),
    ],
)
def test_another_version_of_optunas_schema_is_refused(
    fresh_url: str, version: str, age: str, remedy: str
) -> None:
    """Tables of an older or newer Optuna are left alone, with both versions and what to do."""
    open_store(fresh_url).close()
    change = f"UPDATE alembic_version SET version_num = '{version}'"
    with changing(fresh_url) as engine, engine.begin() as connection:
        connection.execute(text("DROP TABLE alembic_version" if version == "none" else change))
    shown = make_url(fresh_url).render_as_string()
    with pytest.raises(StorageError) as caught:
        open_store(fresh_url)
    assert str(caught.value) == (
        f"{shown}: its Optuna tables must be of version v3.2.0.a (got {version}, {age}): "
        + remedy.format(shown=shown)
    )


def test_a_check_measures_and_makes_nothing(fresh_url: str, dialect: str) -> None:
    """The health of a database says what it is and holds, also where it holds nothing."""
    if dialect == "sqlite":
        Path(str(make_url(fresh_url).database)).touch()
    empty = check(fresh_url)
    assert (empty.optuna_schema, empty.hpsearch_schema, empty.studies, empty.trials) == (None, None, 0, 0)
    with open_store(fresh_url) as store:
        study = store.create_study(a_spec(), fingerprint=FINGERPRINT)
        lab = Lab(store=store, url=fresh_url, study=study)
        lab.finish(3)
        health = check(fresh_url)
    assert (health.optuna_schema, health.hpsearch_schema) == (health.optuna_head, health.hpsearch_head)
    assert (health.studies, health.foreign_studies, health.trials) == (1, 0, 3)
    assert health.size_bytes > 10_000
    assert health.server_version[0].isdigit()
    assert 0.0 < health.round_trip_s < 1.0
    assert abs(health.clock_difference_s) < 1.0
    assert health.dialect == ("mysql" if dialect == "mariadb" else dialect)


def test_a_connection_that_died_while_idle_is_replaced(new_lab: Callable[..., Lab], dialect: str) -> None:
    """A server that closed our idle connections costs a new connection and nothing else."""
    lab = new_lab()
    if dialect == "sqlite":
        pytest.skip("a file has no server")
    kill_others(lab, dialect)
    assert len(lab.claim(2)) == 2
    kill_others(lab, dialect)
    assert lab.store.progress(lab.study).running == 2


def kill_others(lab: Lab, dialect: str) -> None:
    """End all connections of the store on the server's side."""
    database = make_url(lab.url).database
    with changing(lab.url) as engine, engine.connect() as connection:
        if dialect == "postgresql":
            connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                    f"WHERE datname = '{database}' AND pid <> pg_backend_pid()"
                )
            )
            return
        others = text(
            "SELECT id FROM information_schema.processlist "
            f"WHERE db = '{database}' AND id <> connection_id()"
        )
        for connection_id in connection.execute(others).scalars().all():
            connection.execute(text(f"KILL {connection_id}"))


def test_a_connection_that_dies_at_work_is_tried_again(new_lab: Callable[..., Lab], dialect: str) -> None:
    """A transaction whose connection is lost before its commit runs again, whole, and is there once."""
    lab = new_lab()
    if dialect == "sqlite":
        pytest.skip("a file has no server")
    deaths = iter([True, False])

    def work(connection: object) -> int:
        claims = lab_claim(connection)
        if next(deaths):
            kill_others(lab, dialect)
        return claims

    def lab_claim(connection: object) -> int:
        from hpsearch.storage import claims, studies

        locked = studies.lock(connection, lab.study)
        return len(claims.claim(connection, locked, worker=lab.worker, count=2, lease_s=600.0))

    assert lab.store._write(work) == 2
    assert [trial.number for trial in lab.store.trials(lab.study)] == [0, 1]


def test_health_is_a_record_of_plain_values(url: str) -> None:
    """Everything in a health record can be printed as JSON."""
    from dataclasses import asdict

    open_store(url).close()
    assert json.loads(json.dumps(asdict(check(url))))["trials"] >= 0


def test_a_server_that_is_not_there_is_unavailable(dialect: str) -> None:
    """An address where nobody listens is an error that says what to check, and may pass later."""
    scheme = {"postgresql": "postgresql", "mariadb": "mysql"}.get(dialect)
    if scheme is None:
        pytest.skip("a file has no server")
    for opens in (open_store, check):
        with pytest.raises(StorageUnavailableError) as caught:
            opens(f"{scheme}://somebody:s3cret@127.0.0.1:9/database")
        assert str(caught.value) == (
            f"{scheme}://somebody:***@127.0.0.1:9/database: the server does not answer (connection refused): "
            "check that it runs, its host and its port"
        )
