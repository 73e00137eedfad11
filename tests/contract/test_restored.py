"""A database that was restored to an older state while workers continued: refused, never corrupted."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

import pytest
from sqlalchemy import Connection, MetaData, Table, TextClause, create_engine, make_url, text

from hpsearch.errors import StudyNotFoundError
from hpsearch.storage.records import ClaimedTrial, WorkerIdentity
from hpsearch.storage.store import Store, open_store
from hpsearch.trials import TrialState
from tests.contract.laboratory import FINGERPRINT, Lab, a_spec

Backup: TypeAlias = Mapping[str, Sequence[Mapping[str, Any]]]
"""The rows of each table."""

Restored: TypeAlias = tuple[Lab, list[ClaimedTrial], list[ClaimedTrial]]
"""A lab, what it had claimed before the backup and had not ended, and what it has claimed since."""

_LAST_ID: Final = {
    "postgresql": (
        "SELECT setval(pg_get_serial_sequence('{table}', '{column}'), "
        "(SELECT COALESCE(MAX({column}), 0) + 1 FROM {table}), false)"
    ),
    "mysql": "ALTER TABLE {table} AUTO_INCREMENT = 1",
}
"""What lets a table give the ids again that it gave after the backup, as tools that restore do."""


class Server:
    """A database as its owner reads it: every row of every table, kept and restored."""

    def __init__(self, url: str) -> None:
        self._engine = create_engine(make_url(url))
        self._tables = MetaData()
        self._tables.reflect(self._engine)

    def backup(self) -> Backup:
        """Return all rows, with values as the driver gives them."""
        with self._engine.connect() as connection:
            return {
                table.name: [
                    dict(row) for row in connection.execute(text(f"SELECT * FROM {table}")).mappings()
                ]
                for table in self._tables.sorted_tables
            }

    def restore(self, backup: Backup) -> None:
        """Replace all rows by those of a backup."""
        with self._engine.begin() as connection:
            for table in reversed(self._tables.sorted_tables):
                connection.execute(table.delete())
            for table in self._tables.sorted_tables:
                if rows := backup[table.name]:
                    connection.execute(self._insert(table), rows)
            self._give_ids_again(connection)

    def _insert(self, table: Table) -> TextClause:
        quote = self._engine.dialect.identifier_preparer.quote
        columns = ", ".join(quote(column.name) for column in table.columns)
        values = ", ".join(f":{column.name}" for column in table.columns)
        return text(f"INSERT INTO {table.name} ({columns}) VALUES ({values})")

    def _give_ids_again(self, connection: Connection) -> None:
        template = _LAST_ID.get(connection.dialect.name, "")
        for table in self._tables.sorted_tables if template else ():
            column = table.autoincrement_column
            if column is not None and table.name != "version_info":
                connection.execute(text(template.format(table=table.name, column=column.name)))

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()


def a_lab(store: Store, url: str, trials: int) -> Lab:
    """Return a study of its own in a store."""
    study = store.studies.create(a_spec(trials=trials), fingerprint=FINGERPRINT)
    return Lab(store=store, url=url, study=study)


@pytest.fixture(scope="module")
def own_urls() -> dict[str, str]:
    """Provide the databases, by dialect, of which these tests replace every row."""
    return {}


@pytest.fixture
def own_url(dialect: str, new_database: Callable[[str], str], own_urls: dict[str, str]) -> str:
    """Provide the URL of a database that these tests have to themselves."""
    if dialect not in own_urls:
        own_urls[dialect] = new_database(dialect)
    return own_urls[dialect]


@pytest.fixture
def restored(own_url: str) -> Iterator[Restored]:
    """Give what makes a lab of 8 trials, and restores its database to when the lab had claimed 4 of them.

    Two are complete then and two run; since then one of these has ended, and three more were claimed.
    """
    with open_store(own_url) as store:
        lab = a_lab(store, own_url, trials=8)
        server = Server(own_url)
        lab.finish(2)
        held = lab.claim(2)
        lab.assign(held)
        backup = server.backup()
        lab.end(held[:1])
        since = lab.claim(3)
        lab.assign(since)
        lab.end(since[:1])
        server.restore(backup)
        yield lab, held, since
        server.close()


def test_claims_given_since_write_nothing(restored: Restored) -> None:
    """A worker's claims from after the backup are lost, before and after others got their numbers and ids."""
    lab, _, since = restored
    numbers = {claim.number for claim in since}
    before = lab.store.trials.all(lab.study)
    assert [trial.state for trial in before] == [TrialState.COMPLETE] * 2 + [TrialState.RUNNING] * 2
    assert lab.assign(since) == lab.end(since) == numbers == {4, 5, 6}
    assert lab.store.trials.all(lab.study) == before
    again = lab.claim(3, worker="another")
    assert [(claim.number, claim.trial_id) for claim in again] == [(c.number, c.trial_id) for c in since]
    assert lab.assign(since) == lab.end(since) == numbers
    lab.assign(again)
    assert lab.end(again) == frozenset()
    assert lab.end(since) == numbers


def test_claims_from_before_the_backup_still_hold(restored: Restored) -> None:
    """A trial that ran at the backup is still its worker's, which can end it again or hand it back."""
    lab, held, _ = restored
    assert lab.store.queue.held(lab.study, worker=lab.worker) == [2, 3]
    assert lab.end(held[:1], value=0.5) == frozenset()
    released = lab.store.queue.release(
        lab.study, worker=lab.worker, numbers=None, why="restored", crashed=False
    )
    assert released == [3]
    assert lab.end(held[1:]) == {3}


def test_a_heartbeat_keeps_only_what_its_worker_trains(restored: Restored) -> None:
    """A trial that its worker has ended since runs again in the restored state; the worker's beat lets its lease go."""
    lab, held, since = restored
    identity = WorkerIdentity(name=lab.worker, host="here", process_id=1, version="0.1.0")
    tokens = frozenset(claim.token for claim in since)
    assert lab.store.queue.beat(identity, lease_s=600.0, tokens=tokens).leases == 0
    tokens = frozenset(claim.token for claim in held)
    assert lab.store.queue.beat(identity, lease_s=600.0, tokens=tokens).leases == 2


def test_a_restored_study_ends_with_exactly_its_budget(restored: Restored) -> None:
    """Trials lost with the backup are trained again, under their numbers, and none twice."""
    lab, _, since = restored
    lab.store.queue.release(lab.study, worker=lab.worker, numbers=None, why="restored", crashed=False)
    while lab.finish(3):
        lab.end(since)
    progress = lab.store.studies.progress(lab.study)
    assert (progress.complete, progress.running, progress.waiting) == (8, 0, 0)
    assert [trial.number for trial in lab.store.trials.all(lab.study)] == list(range(8))
    assert [trial.params for trial in lab.stock().trials] == [lab.params(number) for number in range(8)]
    lab.close()


def test_a_study_that_was_created_since_is_gone(own_url: str) -> None:
    """The loss is reported to its worker, even if another study has got its id meanwhile."""
    with open_store(own_url) as store:
        server = Server(own_url)
        backup = server.backup()
        lab = a_lab(store, own_url, trials=4)
        claims = lab.claim(2)
        server.restore(backup)
        successor = a_lab(store, own_url, trials=4)
        assert successor.study.study_id == lab.study.study_id
        running = successor.claim(2)
        assert lab.end(claims) == {0, 1}
        with pytest.raises(StudyNotFoundError, match=r"it was deleted: create it again$"):
            lab.claim(1)
        successor.assign(running)
        assert successor.end(running) == frozenset()
        server.close()
