"""Upgrades: old databases of ours and of Optuna's become new ones, and nothing in them is lost."""

import json
import logging
import math
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import optuna
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect, text

from hpsearch.errors import StorageError
from hpsearch.storage import optuna_schema, schema
from hpsearch.storage.address import parse_address
from hpsearch.storage.engine import make_engine, read_transaction, write_transaction
from hpsearch.storage.migration import Revisions
from hpsearch.storage.records import WorkerIdentity
from hpsearch.storage.store import open_store
from hpsearch.storage.upgrade import FOLDER, LocalTimes, Upgrade, scripts, upgrade, upgrade_tables
from tests.contract.golden_database import facts, load, missing
from tests.contract.laboratory import FINGERPRINT, Lab, a_spec, stock_storage

GOLDEN: Final = Path(__file__).parent / "golden"

CURRENT: Final = Revisions(optuna=optuna_schema.HEAD, hpsearch=schema.REVISION)

NEXT: Final = f"{int(schema.REVISION) + 1:04}"

NEXT_REVISION: Final = f'''
"""A made-up next revision: a new column and a new name."""

import sqlalchemy as sa
from alembic import op

revision = "{NEXT}"
down_revision = "{schema.REVISION}"


def upgrade():
    with op.batch_alter_table("hpsearch_studies") as studies:
        studies.add_column(sa.Column("note", sa.String(64), nullable=False, server_default="none"))
        studies.alter_column(
            "priority", new_column_name="urgency", existing_type=sa.Integer, existing_nullable=False
        )
'''

DEFINITIONS: Final = {
    "sqlite": ("SELECT name, sql FROM sqlite_master WHERE tbl_name LIKE 'hpsearch_%' ORDER BY name",),
    "postgresql": (
        (
            "SELECT table_name, ordinal_position, column_name, data_type, character_maximum_length, is_nullable "
            "FROM information_schema.columns WHERE table_name LIKE 'hpsearch_%' ORDER BY 1, 2"
        ),
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename LIKE 'hpsearch_%' ORDER BY 1",
    ),
    "mysql": tuple(f"SHOW CREATE TABLE {name}" for name in schema.metadata.tables),
}
"""Queries for a database's definition of our tables."""


@pytest.fixture(scope="module")
def own_urls() -> dict[str, str]:
    """Provide the databases, by dialect, whose tables these tests change."""
    return {}


@pytest.fixture
def engine(dialect: str, new_database: Callable[[str], str], own_urls: dict[str, str]) -> Iterator[Engine]:
    """Provide a database without tables of ours."""
    if dialect not in own_urls:
        own_urls[dialect] = new_database(dialect)
    made = make_engine(parse_address(own_urls[dialect]))
    with write_transaction(made, durable=False) as connection:
        for name in inspect(connection).get_table_names():
            if name.startswith("hpsearch_"):
                connection.execute(text(f"DROP TABLE {name}"))
    yield made
    made.dispose()


def url_of(engine: Engine) -> str:
    """Return the URL of an engine, with its password."""
    return engine.url.render_as_string(hide_password=False)


def stamp(
    engine: Engine, *, optuna_revision: str | None = None, hpsearch_revision: str | None = None
) -> None:
    """Write other revisions on the tables."""
    with write_transaction(engine, durable=False) as connection:
        for table, revision in (
            ("alembic_version", optuna_revision),
            ("hpsearch_alembic_version", hpsearch_revision),
        ):
            if revision is not None:
                connection.execute(text(f"UPDATE {table} SET version_num = '{revision}'"))


def rows_of(engine: Engine, table: str) -> list[dict[str, Any]]:
    """Return the rows of a table, in order."""
    with read_transaction(engine) as connection:
        rows = [dict(row) for row in connection.execute(text(f"SELECT * FROM {table}")).mappings()]
    return sorted(rows, key=str)


def definition(engine: Engine) -> list[tuple[Any, ...]]:
    """Return the database's definition of our tables, without Alembic's."""
    with read_transaction(engine) as connection:
        rows = [
            tuple(in_order(unquoted(value) if engine.dialect.name == "sqlite" else value) for value in row)
            for query in DEFINITIONS[engine.dialect.name]
            for row in connection.execute(text(query))
        ]
    return [row for row in rows if "hpsearch_alembic_version" not in str(row)]


def unquoted(value: Any) -> str:
    """Take the quotes off the name of a table that SQLite renamed: it puts them there itself, and nowhere else."""
    return re.sub(r'^CREATE TABLE "(\w+)"', r"CREATE TABLE \1", str(value))


def in_order(value: Any) -> Any:
    """Sort the indexes in a table's definition, which SQLAlchemy makes in any order."""
    lines = [line.strip(" ,") for line in str(value).splitlines()]
    return sorted(lines, key=lambda line: line if line.startswith("KEY") else "")


def test_the_revisions_make_the_tables_that_are_declared(engine: Engine) -> None:
    """From nothing, the migrations end with exactly the tables of `schema`, to the last index and option."""
    with write_transaction(engine, durable=False) as connection:
        upgrade_tables(connection)
    made = definition(engine)
    with read_transaction(engine) as connection:
        options = {
            "version_table": schema.versions.name,
            "include_name": lambda name, kind, _parents: kind != "table" or name.startswith("hpsearch_"),
        }
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, schema.metadata) == []
    with write_transaction(engine, durable=False) as connection:
        schema.metadata.drop_all(connection)
        schema.metadata.create_all(connection)
    assert definition(engine) == made
    assert len(made) >= len(schema.metadata.tables)


def test_the_newest_revision_is_that_of_the_tables() -> None:
    """Revisions are four digits in one line, and `schema.REVISION` is its end."""
    directory = ScriptDirectory.from_config(scripts())
    revisions = [script.revision for script in directory.walk_revisions()]
    assert directory.get_heads() == [schema.REVISION]
    assert revisions == [f"{number:04}" for number in range(len(revisions), 0, -1)]


@pytest.fixture
def next_folder(tmp_path: Path) -> Path:
    """Provide the revisions with a made-up next one."""
    folder = tmp_path / "50% more" / "migrations"
    shutil.copytree(FOLDER, folder)
    (folder / "versions" / f"revision_{NEXT}.py").write_text(NEXT_REVISION)
    return folder


def test_a_revision_keeps_every_row(engine: Engine, next_folder: Path) -> None:
    """Tables that a revision changes keep what they hold, the others stay as they are, and the stamp moves on."""
    url = url_of(engine)
    with open_store(url) as store:
        study = store.studies.create(a_spec(), fingerprint=FINGERPRINT)
        lab = Lab(store=store, url=url, study=store.studies.set_priority(study, 5))
        lab.finish(3)
        lab.claim(1)
        lab.store.queue.release(study, worker=lab.worker, numbers=None, why="x", crashed=True)
    before = {table: rows_of(engine, table) for table in schema.metadata.tables}
    with write_transaction(engine, durable=False) as connection:
        upgrade_tables(connection, folder=next_folder)
    after = {table: rows_of(engine, table) for table in schema.metadata.tables}
    assert [row.pop("note") for row in after["hpsearch_studies"]] == ["none"]
    for row in after["hpsearch_studies"]:
        row["priority"] = row.pop("urgency")
    assert after == before
    assert len(before["hpsearch_trials"]) == 4
    assert rows_of(engine, "hpsearch_alembic_version") == [{"version_num": NEXT}]
    with pytest.raises(StorageError, match=rf"must be of version {schema.REVISION} \(got {NEXT}, newer\)"):
        open_store(url)


def test_a_revision_that_fails_is_not_stamped(engine: Engine, next_folder: Path) -> None:
    """PostgreSQL and SQLite undo what it did; MySQL cannot, and the next try begins with the same revision."""
    open_store(url_of(engine)).close()
    script = next_folder / "versions" / f"revision_{NEXT}.py"
    script.write_text(f"{script.read_text()}    raise RuntimeError('half-way')\n")
    before = definition(engine)
    with (
        pytest.raises(RuntimeError, match="half-way"),
        write_transaction(engine, durable=False) as connection,
    ):
        upgrade_tables(connection, folder=next_folder)
    assert rows_of(engine, "hpsearch_alembic_version") == [{"version_num": schema.REVISION}]
    if engine.dialect.name != "mysql":
        assert definition(engine) == before


@pytest.mark.parametrize("script", sorted(GOLDEN.glob("hpsearch-*.sql")), ids=lambda path: path.stem)
def test_an_old_database_of_ours_is_upgraded(script: Path, tmp_path: Path) -> None:
    """All facts that its own version could read are still read from it."""
    url = load(script, tmp_path / "old.db")
    revision = script.stem.removeprefix("hpsearch-")
    done = upgrade(url, allow_workers=True)
    assert (done.before.hpsearch, done.after) == (revision, CURRENT)
    with open_store(url, create=False) as store:
        assert missing(json.loads(script.with_suffix(".json").read_text()), facts(store)) == []


def test_there_is_a_golden_database_of_every_revision() -> None:
    """Each revision that a released version wrote stays tried."""
    kept = [path.stem.removeprefix("hpsearch-") for path in sorted(GOLDEN.glob("hpsearch-*.sql"))]
    assert kept == [f"{number:04}" for number in range(1, int(schema.REVISION) + 1)]


def test_an_old_database_of_optunas_is_upgraded(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """What Optuna 3.0 wrote is refused with the remedy, and after it Optuna reads every trial as it was."""
    url = load(GOLDEN / "optuna-3.0.6.sql", tmp_path / "old.db")
    with pytest.raises(StorageError) as caught:
        open_store(url)
    assert str(caught.value) == (
        f"{url}: its Optuna tables must be of version v3.2.0.a (got v3.0.0.d, older): "
        f"run `hpsearch storage upgrade --storage {url}`"
    )
    handlers = logging.getLogger().handlers[:]
    assert upgrade(url) == Upgrade(
        url_shown=url,
        before=Revisions(optuna="v3.0.0.d", hpsearch=None),
        after=Revisions(optuna=optuna_schema.HEAD, hpsearch=None),
        local_times=LocalTimes(optuna="3.0.6", trials=5),
    )
    assert (logging.getLogger().handlers, capfd.readouterr()) == (handlers, ("", ""))
    with open_store(url) as store:
        assert store.studies.foreign_names() == ["theirs"]
    storage = stock_storage(url)
    study = optuna.load_study(study_name="theirs", storage=storage)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 2 + [
        "PRUNED",
        "COMPLETE",
        "RUNNING",
    ]
    assert [trial.values for trial in study.trials] == [[7.5], [38.7081478226181], None, [math.inf], None]
    assert study.trials[1].params == {"x": 0.7081478226181048, "kind": "b", "n": 38}
    assert repr(study.trials[1].intermediate_values) == "{0: 0.7081478226181048, 1: nan}"
    assert [trial.user_attrs.get("note") for trial in study.trials[:4]] == [f"number {i}" for i in range(4)]
    assert study.user_attrs == {"owner": "ann"}
    storage.remove_session()
    storage.engine.dispose()


def test_both_schemas_are_upgraded_once_nobody_works(engine: Engine) -> None:
    """Old tables wait until no worker is alive, unless one insists; new ones are left alone in any case."""
    url = url_of(engine)
    shown = engine.url.render_as_string()
    with open_store(url) as store:
        lab = Lab(store=store, url=url, study=store.studies.create(a_spec(), fingerprint=FINGERPRINT))
        lab.finish(3)
        before = facts(store)["studies"]
        assert upgrade(url) == Upgrade(url_shown=shown, before=CURRENT, after=CURRENT)
        for name in ("bob", "ann"):
            store.workers.register(WorkerIdentity(name=name, host="here", process_id=1, version="0.1.0"))
    stamp(engine, optuna_revision="v3.0.0.d")
    with pytest.raises(StorageError) as caught:
        upgrade(url)
    assert str(caught.value) == (
        f"{shown}: no worker may run while its tables change (got 2: ann, bob): "
        "stop them with `hpsearch worker stop`, or add --yes"
    )
    old = Revisions(optuna="v3.0.0.d", hpsearch=schema.REVISION)
    assert upgrade(url, allow_workers=True) == Upgrade(url_shown=shown, before=old, after=CURRENT)
    assert upgrade(url) == Upgrade(url_shown=shown, before=CURRENT, after=CURRENT)
    with open_store(url) as store:
        assert facts(store)["studies"] == before


def test_what_cannot_be_upgraded_is_left_alone(engine: Engine) -> None:
    """Newer tables, tables of no known revision, and no tables at all are errors with a remedy."""
    url = url_of(engine)
    shown = engine.url.render_as_string()
    open_store(url).close()
    stamp(engine, hpsearch_revision="0999")
    with pytest.raises(StorageError, match=r"\(got 0999, newer\): use a newer hpsearch than"):
        upgrade(url)
    stamp(engine, hpsearch_revision="0000")
    unknown = (
        "its tables cannot be upgraded (Can't locate revision identified by '0000'): upgrade them with the"
    )
    with pytest.raises(StorageError, match=re.escape(f"{shown}: {unknown}")):
        upgrade(url)
    stamp(engine, hpsearch_revision=schema.REVISION)
    assert upgrade(url).after == CURRENT


def test_an_empty_database_needs_no_upgrade(tmp_path: Path) -> None:
    """If there are no tables there is nothing to upgrade, and nothing is made."""
    path = tmp_path / "empty.db"
    path.touch()
    with pytest.raises(
        StorageError, match=r"holds no studies, so there is nothing to upgrade: check the URL$"
    ):
        upgrade(f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
