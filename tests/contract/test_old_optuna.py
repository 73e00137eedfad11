"""Databases of old versions of Optuna: upgraded as Optuna does it, or unchanged, byte for byte.

They come with Optuna's source distribution, one for each revision of its tables from 0.9 on.
"""

import shutil
import sqlite3
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import optuna
import pytest
from alembic import command
from sqlalchemy import Engine, MetaData, create_engine, insert, inspect, make_url, select, text

from hpsearch.errors import StorageError
from hpsearch.storage import open_storage, optuna_schema
from hpsearch.storage.health import check
from hpsearch.storage.store import open_store
from hpsearch.storage.upgrade import upgrade

OLD: Final = ("0.9.0", "1.2.0", "1.3.0", "2.4.0", "2.6.0", "3.0.0.a", "3.0.0.b", "3.0.0.c", "3.0.0.d")
"""The databases of revisions before today's."""

OPENS: Final[tuple[Callable[[str], object], ...]] = (
    open_store,
    lambda url: open_store(url, create=False),
    open_storage,
    check,
)
"""Every call that opens a database, except its upgrade."""


def asset(source: Path, version: str) -> Path:
    """Return the database of a version in Optuna's source distribution."""
    full = version if version.count(".") == 3 else f"{version}.a"
    return source / f"tests/storages_tests/rdb_tests/test_upgrade_assets/{full}.db"


@pytest.fixture
def old(optuna_source: Path, tmp_path: Path) -> Callable[..., Path]:
    """Provide a function that makes a copy of the database of a version."""

    def make(version: str, name: str = "old.db") -> Path:
        return Path(shutil.copyfile(asset(optuna_source, version), tmp_path / name))

    return make


def upgraded_by_optuna(path: Path) -> None:
    """Let Optuna upgrade a database, and then open it once."""
    url = f"sqlite:///{path}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        storage = optuna.storages.RDBStorage(url, skip_compatibility_check=True, skip_table_creation=True)
        storage.upgrade()
        storage.engine.dispose()
        optuna.storages.RDBStorage(url).engine.dispose()


def contents(path: Path) -> Mapping[str, Any]:
    """Return the tables of a database: their columns, indexes and rows."""
    engine = create_engine(f"sqlite:///{path}")
    inspector, metadata = inspect(engine), MetaData()
    metadata.reflect(engine)
    with engine.connect() as connection:
        found = {
            name: (
                [(c["name"], str(c["type"]), c["nullable"]) for c in inspector.get_columns(name)],
                sorted(str(index["name"]) for index in inspector.get_indexes(name)),
                sorted(map(str, connection.execute(select(table)))),
            )
            for name, table in metadata.tables.items()
        }
    engine.dispose()
    return found


def refusal(act: Callable[[str], object], url: str) -> str:
    """Return the message of a refusal."""
    with pytest.raises(StorageError) as caught:
        act(url)
    return str(caught.value)


@pytest.mark.parametrize("version", OLD)
def test_an_old_database_is_upgraded_as_optuna_does_it(old: Callable[..., Path], version: str) -> None:
    """What opens it leaves it as it is and names the remedy, after which it is what Optuna would have made of it."""
    path, theirs = old(version), old(version, "theirs.db")
    url, before = f"sqlite:///{path}", path.read_bytes()
    for opens in OPENS:
        assert refusal(opens, url).endswith(f", older): run `hpsearch storage upgrade --storage {url}`")
        assert path.read_bytes() == before
    done = upgrade(url)
    assert (done.after.optuna, done.after.lacks) == (optuna_schema.HEAD, ())
    assert done.local_times is not None
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["old.db", "theirs.db"]
    upgraded_by_optuna(theirs)
    assert contents(path) == contents(theirs)
    storage = open_storage(url)
    for study in storage.get_all_studies():
        assert all(trial.number >= 0 for trial in storage.get_all_trials(study._study_id))
        storage.delete_study(study._study_id)
    storage.remove_session()


@pytest.mark.parametrize("version", ["0.9.0", "1.3.0"])
def test_tables_that_came_too_early_do_no_harm(old: Callable[..., Path], version: str) -> None:
    """A database that a stock client of today only opened, which makes tables in it, is upgraded all the same."""
    path, theirs = old(version), old(version, "theirs.db")
    with pytest.raises(RuntimeError, match="no longer compatible"):
        optuna.storages.RDBStorage(f"sqlite:///{path}")
    upgrade(f"sqlite:///{path}")
    upgraded_by_optuna(theirs)
    assert contents(path) == contents(theirs)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE trial_params SET distribution_json = '{}'",
        "DROP TABLE trial_params",
    ],
)
def test_an_upgrade_that_fails_changes_nothing(old: Callable[..., Path], damage: str) -> None:
    """A row that makes Optuna's revisions fail half-way is named, and the file is unchanged, byte for byte."""
    path = old("2.6.0")
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(damage)
    before = path.read_bytes()
    message = refusal(upgrade, f"sqlite:///{path}")
    assert message.endswith("the file is unchanged: fix what it names")
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == ["old.db"]


def test_an_upgrade_says_nothing_that_nobody_can_help(old: Callable[..., Path]) -> None:
    """Warnings of Optuna's revisions about their own old classes are not shown."""
    path = old("1.3.0")
    upgrading = ["storage", "upgrade", "--storage", f"sqlite:///{path}"]
    arguments = [sys.executable, "-W", "always", "-m", "hpsearch", *upgrading]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True, timeout=120)
    assert "Warning" not in done.stderr
    assert done.stdout.startswith("Tables of Optuna: version v3.2.0.a now (it was v1.3.0.a)\n")


@pytest.fixture
def engine(fresh_url: str) -> Any:
    """Provide an engine to change an empty database."""
    made = create_engine(make_url(fresh_url))
    yield made
    made.dispose()


FOREIGN: Final = {
    "studies of others": [
        "CREATE TABLE studies (study_id INTEGER, study_name VARCHAR(9), sponsor VARCHAR(9))"
    ],
    "trials of others": ["CREATE TABLE trials (id INTEGER, patient VARCHAR(9))"],
    "revision of others": [
        "CREATE TABLE alembic_version (version_num VARCHAR(32))",
        "INSERT INTO alembic_version VALUES ('ae1027a6acf')",
    ],
}
"""Tables of other applications' databases."""


@pytest.mark.parametrize("kind", FOREIGN)
def test_tables_of_others_are_left_alone(fresh_url: str, engine: Engine, kind: str) -> None:
    """A database in which another application has tables of Optuna's names is refused, and nothing is made in it."""
    with engine.begin() as connection:
        for statement in FOREIGN[kind]:
            connection.execute(text(statement))
    before = inspect(engine).get_table_names()
    for act in (*OPENS, upgrade):
        assert "give hpsearch a database of its own" in refusal(act, fresh_url)
        assert inspect(engine).get_table_names() == before


def test_tables_that_optunas_upgrade_left_out_are_made(fresh_url: str, engine: Engine) -> None:
    """What stands in no revision of Optuna's, its heartbeats, is made when the database is opened."""
    open_storage(fresh_url).remove_session()
    for act in (lambda: open_storage(fresh_url).remove_session(), lambda: upgrade(fresh_url)):
        with engine.begin() as connection:
            connection.execute(text("DROP TABLE trial_heartbeats"))
        act()
        assert inspect(engine).has_table("trial_heartbeats")


@pytest.mark.parametrize("version", ["0.9.0", "1.3.0", "2.4.0"])
def test_a_server_is_upgraded_or_left_as_it_is(
    fresh_url: str, engine: Engine, dialect: str, optuna_source: Path, version: str
) -> None:
    """What Optuna can upgrade on a server keeps every row; what it would break half-way is refused before."""
    if dialect == "sqlite":
        pytest.skip("files are tried with every version")
    if (dialect, version) == ("mariadb", "2.4.0"):
        pytest.skip("Optuna's revisions, which make the database, do not get there on MariaDB")
    fill(fresh_url, engine, asset(optuna_source, version), f"v{version}.a")
    before = inspect(engine).get_table_names()
    for opens in OPENS:
        assert "older): run `hpsearch storage upgrade" in refusal(opens, fresh_url)
        assert inspect(engine).get_table_names() == before
    if version != "2.4.0":
        message = refusal(upgrade, fresh_url)
        assert "tables of Optuna before 2.4 cannot be upgraded on" in message
        assert message.endswith("; nothing was changed")
        assert inspect(engine).get_table_names() == before
        return
    spoil(engine, "concat('x', distribution_json)")
    assert "was rolled back" in refusal(upgrade, fresh_url)
    spoil(engine, "substr(distribution_json, 2)")
    done = upgrade(fresh_url)
    assert done.after.optuna == optuna_schema.HEAD
    storage = open_storage(fresh_url)
    (trial,) = storage.get_all_trials(storage.get_study_id_from_name("single"))
    assert (trial.number, trial.user_attrs, trial.intermediate_values) == (0, {"b": 1}, {0: 0.5})
    assert set(trial.params) == {"x", "y", "z"}
    storage.remove_session()


def spoil(engine: Engine, distribution: str) -> None:
    """Change the distributions of all parameters."""
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE trial_params SET distribution_json = {distribution}"))


def fill(url: str, engine: Engine, path: Path, revision: str) -> None:
    """Make a database of an old revision on a server, with Optuna's own revisions, and the rows of a file in it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        storage = optuna.storages.RDBStorage("sqlite://", skip_compatibility_check=True)
        storage._version_manager.url = url
        command.upgrade(storage._version_manager._create_alembic_config(), revision)
    here, there = MetaData(), MetaData()
    source = create_engine(f"sqlite:///{path}")
    here.reflect(source)
    there.reflect(engine)
    with source.connect() as old, engine.begin() as new:
        for table in there.sorted_tables:
            if table.name in here.tables and table.name != "alembic_version":
                rows = [dict(row) for row in old.execute(select(here.tables[table.name])).mappings()]
                if rows:
                    new.execute(insert(table), rows)
        if "alembic_version" not in here.tables:
            new.execute(text("DROP TABLE alembic_version"))
    source.dispose()
    storage.engine.dispose()
