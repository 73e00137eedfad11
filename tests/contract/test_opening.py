"""Opening: empty databases are filled once, whichever process comes; other versions are refused; health is measured."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import (
    Connection,
    Engine,
    create_engine,
    event,
    insert,
    inspect,
    literal,
    make_url,
    select,
    text,
)
from typer.testing import CliRunner

import hpsearch
from hpsearch.cli.main import app
from hpsearch.errors import StorageError, StorageUnavailableError, StudyNotFoundError
from hpsearch.storage import optuna_schema, schema
from hpsearch.storage.address import parse_address
from hpsearch.storage.driver_errors import attempt
from hpsearch.storage.health import check
from hpsearch.storage.queue import write_waiting
from hpsearch.storage.statements import DriverStatement
from hpsearch.storage.store import open_store
from hpsearch.storage.stored_studies import lock
from hpsearch.storage.upgrade import upgrade
from tests.contract.conftest import Databases
from tests.contract.laboratory import FINGERPRINT, Lab, a_spec, kill_others, stock_storage

OPEN = "import sys; from hpsearch.storage.store import open_store; open_store(sys.argv[1]).close()"


@contextmanager
def changed(url: str, change: str, back: str) -> Iterator[None]:
    """Change a database that other tests share, and change it back."""
    open_store(url).close()
    with changing(url) as engine:
        with engine.begin() as connection:
            connection.execute(text(change))
        yield
        with engine.begin() as connection:
            connection.execute(text(back))


@contextmanager
def changing(url: str) -> Iterator[Engine]:
    """Provide an engine to change a database."""
    engine = create_engine(make_url(url))
    yield engine
    engine.dispose()


NOTHING = {
    "study": "There are no studies yet: `hpsearch study create FILE` makes one",
    "worker": "No workers are running: `hpsearch worker start` starts one",
}


@pytest.mark.parametrize("noun", NOTHING)
def test_an_empty_database_lists_nothing(fresh_url: str, dialect: str, noun: str) -> None:
    """`study list` and `worker list` print the head of an empty table, say what to do, and make no tables."""
    if dialect == "sqlite":
        Path(str(make_url(fresh_url).database)).touch()
    ended = CliRunner().invoke(app, [noun, "list", "--storage", fresh_url])
    assert (ended.exit_code, ended.stderr, ended.stdout.splitlines()[1:]) == (0, f"{NOTHING[noun]}\n", [])
    assert ended.stdout.startswith(f"{noun}  state  ")
    with changing(fresh_url) as engine:
        assert inspect(engine).get_table_names() == []


def test_many_that_open_an_empty_database_fill_it_once(fresh_url: str) -> None:
    """Processes that all find no tables create one correct set of them."""
    command = [sys.executable, "-W", "error", "-c", OPEN, fresh_url]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(5)]
    assert [process.communicate(timeout=120)[1] for process in processes] == [""] * 5
    assert [process.returncode for process in processes] == [0] * 5
    with changing(fresh_url) as engine, engine.connect() as connection:
        stamps = {"alembic_version": optuna_schema.HEAD, "hpsearch_alembic_version": schema.REVISION}
        for table, version in stamps.items():
            assert connection.execute(text(f"SELECT * FROM {table}")).scalars().all() == [version]


DEFINITIONS = {
    "sqlite": ("SELECT name, sql FROM sqlite_master ORDER BY name",),
    "postgresql": (
        (
            "SELECT table_name, ordinal_position, column_name, data_type, udt_name, character_maximum_length,"
            " is_nullable, column_default FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2"
        ),
        "SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1, 2",
        (
            "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
            " WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2"
        ),
        "SELECT typname, enumlabel, enumsortorder FROM pg_enum JOIN pg_type t ON t.oid = enumtypid ORDER BY 1, 3",
    ),
    "mariadb": tuple(
        f"SHOW CREATE TABLE {name}"
        for name in (*optuna_schema.metadata.tables, optuna_schema.version_info.name)
    ),
}
"""Queries for everything that defines the tables of a database, by dialect."""


def definitions(url: str, dialect: str) -> list[Any]:
    """Return the definitions of Optuna's tables, as the database stores them, and the rows that stamp them."""
    stamps = ("SELECT * FROM alembic_version", "SELECT * FROM version_info")
    with changing(url) as engine, engine.connect() as connection:
        rows = [connection.execute(text(q)).all() for q in (*DEFINITIONS[dialect], *stamps)]
    return [[row for row in found if not str(row[0]).startswith(("hpsearch_", "sqlite_"))] for found in rows]


def test_new_tables_are_those_that_optuna_makes(
    fresh_url: str, dialect: str, new_database: Databases
) -> None:
    """Tables, keys, indexes, types and stamps of a new database are Optuna's own, to the letter."""
    theirs = new_database(dialect)
    storage = stock_storage(theirs)
    storage.remove_session()
    storage.engine.dispose()
    open_store(fresh_url).close()
    assert definitions(fresh_url, dialect) == definitions(theirs, dialect)


def test_another_optuna_makes_its_own_tables(fresh_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an Optuna whose tables were not compared with ours, its models and revisions make them."""
    monkeypatch.setattr(optuna_schema, "DECLARED_FOR", "4.9.0")
    monkeypatch.setattr(optuna_schema.metadata, "create_all", None)
    with open_store(fresh_url) as store:
        assert store.is_new


def test_our_tables_join_those_of_a_stock_client(fresh_url: str) -> None:
    """A database that Optuna made gets our tables in addition to its own, and keeps its studies."""
    storage = stock_storage(fresh_url)
    storage.create_new_study([], "theirs")
    storage.remove_session()
    storage.engine.dispose()
    with open_store(fresh_url) as store:
        assert store.studies.foreign_names() == ["theirs"]
        study = store.studies.create(a_spec(), fingerprint=FINGERPRINT)
        assert store.studies.all() == [study]


def test_optuna_can_create_and_delete_beside_our_tables(fresh_url: str) -> None:
    """No table of ours refers to Optuna's, so none keeps its owner from doing anything."""
    open_store(fresh_url).close()
    with changing(fresh_url) as engine:
        for table in schema.metadata.tables:
            assert inspect(engine).get_foreign_keys(table) == []


COUNTED = """
import sys
from sqlalchemy import Engine, event
from hpsearch.storage.store import open_store

statements = []
event.listen(Engine, "before_cursor_execute", lambda *execution: statements.append(execution[2]))
open_store(sys.argv[1], create=False).close()
print(sum("SELECT" in s or "SHOW" in s for s in statements), sorted({"alembic", "optuna"} & set(sys.modules)))
"""


def test_opening_what_is_up_to_date_is_cheap(url: str) -> None:
    """Four queries and neither Alembic nor Optuna: which tables, both revisions, and whether studies are gone."""
    open_store(url).close()
    opened = subprocess.run(
        [sys.executable, "-W", "error", "-c", COUNTED, url], capture_output=True, text=True, check=True
    )
    assert opened.stdout == "4 []\n"


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
@pytest.mark.parametrize(
    ("revision", "age", "remedy"),
    [
        ("0000", "older", "run `hpsearch storage upgrade --storage {shown}`"),
        ("0999", "newer", f"use a newer hpsearch than {hpsearch.__version__}"),
    ],
)
def test_another_revision_of_our_tables_is_refused(
    url: str, opens: Callable[[str], object], revision: str, age: str, remedy: str
) -> None:
    """Tables of an older or newer hpsearch are left alone, with both versions and what to do."""
    shown = make_url(url).render_as_string()
    stamp = "UPDATE hpsearch_alembic_version SET version_num = '{}'".format
    with changed(url, stamp(revision), stamp(schema.REVISION)), pytest.raises(StorageError) as caught:
        opens(url)
    assert str(caught.value) == (
        f"{shown}: its hpsearch tables must be of version {schema.REVISION} (got {revision}, {age}): "
        + remedy.format(shown=shown)
    )


@pytest.mark.parametrize(
    ("version", "age", "remedy"),
    [
        ("v3.0.0.d", "older", "run `hpsearch storage upgrade --storage {shown}`"),
        ("v3.10.0.a", "newer", f"use a newer hpsearch than {hpsearch.__version__}"),
        ("w1", "newer", f"use a newer hpsearch than {hpsearch.__version__}"),
    ],
)
def test_another_version_of_optunas_schema_is_refused(url: str, version: str, age: str, remedy: str) -> None:
    """Tables of an older or newer Optuna are left alone, with both versions and what to do."""
    shown = make_url(url).render_as_string()
    stamp = "UPDATE alembic_version SET version_num = '{}'".format
    with changed(url, stamp(version), stamp(optuna_schema.HEAD)), pytest.raises(StorageError) as caught:
        open_store(url)
    assert str(caught.value) == (
        f"{shown}: its Optuna tables must be of version v3.2.0.a (got {version}, {age}): "
        + remedy.format(shown=shown)
    )


@pytest.mark.parametrize(
    "loss", ["DELETE FROM hpsearch_alembic_version", "DROP TABLE hpsearch_alembic_version"]
)
def test_studies_without_a_revision_are_refused(fresh_url: str, loss: str) -> None:
    """Tables of ours that hold a study and no revision are damaged: no way to open them takes or stamps them."""
    open_store(fresh_url).close()
    with changing(fresh_url) as engine:
        with engine.begin() as connection:
            connection.execute(text(loss))
        with open_store(fresh_url) as store:  # as while another process makes the tables
            store.studies.create(a_spec("kept"), fingerprint=FINGERPRINT)
        with engine.begin() as connection:
            connection.execute(text(loss))
        shown = make_url(fresh_url).render_as_string()
        for attempted in (
            lambda: open_store(fresh_url),
            lambda: open_store(fresh_url, create=False),
            lambda: open_store(fresh_url, foreign=True),
            lambda: check(fresh_url),
            lambda: check(fresh_url, full=True),
            lambda: upgrade(fresh_url),
        ):
            with pytest.raises(StorageError) as caught:
                attempted()
            assert str(caught.value) == (
                f"{shown}: its hpsearch tables must have a version (got none): restore a backup"
            )
        with engine.begin() as connection:
            schema.versions.create(connection, checkfirst=True)
            connection.execute(insert(schema.versions).values(version_num=schema.REVISION))
    with open_store(fresh_url, create=False) as store:
        assert [study.name for study in store.studies.all()] == ["kept"]


def test_tables_without_a_revision_are_optunas_to_judge(url: str) -> None:
    """Without `create` tables without a revision are refused as older; with it Optuna stamps them."""
    shown = make_url(url).render_as_string()
    with changed(url, "DELETE FROM alembic_version", "SELECT 1"):
        with pytest.raises(StorageError) as caught:
            open_store(url, create=False)
        assert str(caught.value) == (
            f"{shown}: its Optuna tables must be of version v3.2.0.a (got none, older): "
            f"run `hpsearch storage upgrade --storage {shown}`"
        )
        open_store(url).close()


def test_a_check_measures_and_makes_nothing(fresh_url: str, dialect: str) -> None:
    """The health of a database has its kind and contents, even if it is empty."""
    if dialect == "sqlite":
        Path(str(make_url(fresh_url).database)).touch()
    empty = check(fresh_url)
    assert (empty.optuna_schema, empty.hpsearch_schema, empty.studies, empty.trials) == (None, None, 0, 0)
    with open_store(fresh_url) as store:
        study = store.studies.create(a_spec(), fingerprint=FINGERPRINT)
        lab = Lab(store=store, url=fresh_url, study=study)
        lab.finish(3)
        health = check(fresh_url)
    assert (health.optuna_schema, health.hpsearch_schema) == (health.optuna_head, health.hpsearch_head)
    assert (health.studies, health.foreign_studies, health.trials) == (1, 0, 3)
    assert health.size_bytes > 10_000
    assert health.server_version[0].isdigit()
    assert 0.0 < health.round_trip_s < 1.0
    assert health.write_rate is not None
    assert min(health.write_rate.durable_per_s, health.write_rate.light_per_s) > 1.0
    assert abs(health.clock_difference_s) < 1.0
    assert health.dialect == ("mysql" if dialect == "mariadb" else dialect)


def test_a_connection_that_died_while_idle_is_replaced(new_lab: Callable[..., Lab], dialect: str) -> None:
    """A server that closed our idle connections causes only a new connection."""
    lab = new_lab()
    if dialect == "sqlite":
        pytest.skip("a file has no server")
    kill_others(lab, dialect)
    assert len(lab.claim(2)) == 2
    kill_others(lab, dialect)
    assert lab.store.studies.progress(lab.study).running == 2


@pytest.mark.parametrize("way", ["transaction", "single query"])
def test_a_connection_that_dies_at_birth_is_tried_again(
    new_lab: Callable[..., Lab], dialect: str, way: str
) -> None:
    """A server that ends a new connection before its first statement, as one that shuts down does, costs nothing."""
    lab = new_lab()
    if dialect == "sqlite":
        pytest.skip("a file has no server")
    kill_others(lab, dialect)
    deaths = iter([True])

    def die(connection: Any, _record: Any) -> None:
        if next(deaths, False):
            cursor = connection.cursor()
            if dialect == "postgresql":
                cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
            else:
                cursor.execute("KILL CONNECTION_ID()")

    event.listen(lab.store._transactions.engine, "connect", die)
    if way == "transaction":
        assert len(lab.claim(2)) == 2
    else:
        one = DriverStatement(select(literal(1)))
        rows = attempt(lambda: one.alone(lab.store._transactions.engine, {}), parse_address(lab.url))
        assert [tuple(row) for row in rows] == [(1,)]
    assert next(deaths, None) is None


@pytest.mark.parametrize("at_commit", [False, True])
def test_a_connection_that_dies_at_work_is_tried_again(
    new_lab: Callable[..., Lab], dialect: str, *, at_commit: bool
) -> None:
    """A transaction that lost its connection runs again, whole, and is there once; not one that was committing.

    It cannot be known whether the server committed it, so the caller must decide.
    """
    lab = new_lab()
    if dialect == "sqlite":
        pytest.skip("a file has no server")
    deaths = iter([True, False])

    def work(connection: Connection) -> int:
        lock(connection, lab.study)
        dies = next(deaths)
        if dies and not at_commit:
            kill_others(lab, dialect)
        made = write_waiting(connection, lab.study.study_id, [{}, {}])
        if dies and at_commit:
            kill_others(lab, dialect)
        return len(made)

    if at_commit:
        with pytest.raises(
            StorageUnavailableError, match="the connection was lost in the middle of a commit"
        ):
            lab.store._transactions.write(work)
        assert len(lab.store.trials.all(lab.study)) in (0, 2)
    else:
        assert lab.store._transactions.write(work) == 2
        assert [trial.number for trial in lab.store.trials.all(lab.study)] == [0, 1]


def test_health_is_a_record_of_plain_values(url: str) -> None:
    """Everything in a health record can be printed as JSON."""
    open_store(url).close()
    assert json.loads(json.dumps(asdict(check(url))))["trials"] >= 0


def test_transactions_over_psycopg2_end(new_database: Databases) -> None:
    """Writes over psycopg2 are committed and failed claims rolled back, in autocommit mode too."""
    url = make_url(new_database("postgresql")).set(drivername="postgresql+psycopg2").render_as_string()
    with open_store(url) as store, open_store(url) as other:
        study = store.studies.create(a_spec(trials=4), fingerprint=FINGERPRINT)
        lab = Lab(store=store, url=url, study=study)
        lab.finish(2, series={"training_loss": [0.5, 0.25]})
        assert lab.renew(60.0) == 0
        with pytest.raises(StudyNotFoundError):
            store.queue.claim(replace(study, key="another"), worker="ann", count=1, lease_s=60.0)
        assert [claim.number for claim in other.queue.claim(study, worker="bob", count=9, lease_s=60.0)] == [
            2,
            3,
        ]
        assert store.trials.series(study, [0]) == {0: {"training_loss": [0.5, 0.25]}}
