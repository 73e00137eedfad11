"""Refusals of real servers, in plain words and without a password."""

from collections.abc import Callable, Iterator
from typing import TypeAlias
from uuid import uuid4

import optuna
import pytest
from sqlalchemy import URL, create_engine, make_url, text

from hpsearch.errors import StorageError, StorageUnavailableError
from hpsearch.storage import schema
from hpsearch.storage.health import check
from hpsearch.storage.store import open_store
from tests.contract.laboratory import FINGERPRINT, Lab, a_spec

PASSWORD = "s3cret"

NewLab: TypeAlias = Callable[..., Lab]


@pytest.fixture(params=["postgresql", "mariadb"])
def dialect(request: pytest.FixtureRequest) -> str:
    """Provide each kind of server in turn."""
    chosen: str = request.param
    return chosen


def run(url: str, *statements: str) -> None:
    """Run statements as the owner of the server."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


@pytest.fixture
def reader(url: str, dialect: str) -> Iterator[URL]:
    """Provide the URL of a user who may read the shared database and write nothing."""
    open_store(url).close()
    name, database = f"reader_{uuid4().hex[:12]}", make_url(url).database
    if dialect == "postgresql":
        run(url, f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'", f"GRANT pg_read_all_data TO {name}")
    else:
        run(
            url,
            f"CREATE USER '{name}'@'%' IDENTIFIED BY '{PASSWORD}'",
            f"GRANT SELECT ON `{database}`.* TO '{name}'@'%'",
        )
    yield make_url(url).set(username=name, password=PASSWORD)
    run(url, f"DROP ROLE {name}" if dialect == "postgresql" else f"DROP USER '{name}'@'%'")


def as_text(url: URL) -> str:
    """Return a URL with its password."""
    return url.render_as_string(hide_password=False)


def opened_and_closed(url: str) -> None:
    """Open a database and close it."""
    open_store(url).close()


@pytest.mark.parametrize("opens", [opened_and_closed, check])
def test_a_user_whom_the_server_does_not_know_is_refused(url: str, opens: Callable[[str], object]) -> None:
    """A wrong user or password is named as the reason, and the password is not shown."""
    stranger = make_url(url).set(username="stranger", password=PASSWORD)
    with pytest.raises(StorageError) as caught:
        opens(as_text(stranger))
    assert str(caught.value) == (
        f'{stranger.render_as_string()}: the server refused the user "stranger": check user name and password'
    )
    assert PASSWORD not in repr(caught.value.__cause__)


@pytest.mark.parametrize("opens", [opened_and_closed, check])
def test_a_database_that_is_not_there_is_named(url: str, opens: Callable[[str], object]) -> None:
    """A server's databases are made by its owner, so a missing one is an error."""
    missing = make_url(url).set(database="hpsearch_test_missing")
    with pytest.raises(StorageError) as caught:
        opens(as_text(missing))
    assert str(caught.value) == (
        f'{missing.render_as_string()}: the server has no database "hpsearch_test_missing": '
        "create it first, or check its name"
    )


@pytest.mark.parametrize("dialect", ["postgresql"])
def test_a_connection_without_a_time_limit_fails_for_its_own_reason(url: str) -> None:
    """`connect_timeout=0`, libpq's word for no limit, does not make every refusal a server that is too slow."""
    missing = make_url(url).set(database="hpsearch_test_missing")
    with pytest.raises(StorageError, match='has no database "hpsearch_test_missing"'):
        opened_and_closed(as_text(missing.update_query_dict({"connect_timeout": "0"})))


def test_a_user_who_may_only_read_can_read(reader: URL) -> None:
    """A read-only user can read studies and trials, and gets an error with the missing right when writing."""
    with open_store(as_text(reader), create=False) as store:
        store.studies.all()
        with pytest.raises(StorageError, match=r"the user may not do this \(.*denied.*\): grant the rights"):
            store.studies.create(a_spec(), fingerprint=FINGERPRINT)
    health = check(as_text(reader))
    assert (health.hpsearch_schema, health.write_rate) == (schema.REVISION, None)
    assert health.no_write_rate is not None
    assert "the user may not do this" in health.no_write_rate


def test_who_may_only_read_leaves_the_sweeping_to_others(reader: URL, url: str, new_lab: NewLab) -> None:
    """Trials of a lost worker, and what another client left of a study, are shown as they stand."""
    lab, deleted = new_lab(), new_lab()
    lost = lab.claim(2, lease_s=-1.0)
    optuna.delete_study(study_name=deleted.study.spec.name, storage=deleted.stock()._storage)
    with open_store(as_text(reader), create=False) as store:
        assert store.studies.progress(lab.study).running == len(lost)
        assert store.queue.opening(lab.study).room == lab.study.spec.trials - len(lost)
        assert {opening.study.key for opening in store.queue.openings()} >= {lab.study.key}
        assert lab.worker not in [worker.identity.name for worker in store.workers.all()]
        assert store.queue.sweep(lab.study) == []
    assert lab.store.studies.progress(lab.study).running == 0


def test_a_user_who_may_not_make_tables_is_told_so(reader: URL, fresh_url: str, dialect: str) -> None:
    """An empty database that the user cannot fill is an error at once."""
    if dialect == "mariadb":
        run(fresh_url, f"GRANT SELECT ON `{make_url(fresh_url).database}`.* TO '{reader.username}'@'%'")
    empty = reader.set(database=make_url(fresh_url).database)
    with pytest.raises(StorageError, match=r"the user may not do this \(.*denied.*\): grant the rights"):
        opened_and_closed(as_text(empty))


def test_a_server_that_is_not_there_is_unavailable(dialect: str) -> None:
    """An address without a listener is an error that states what to check, and may pass later."""
    scheme = "postgresql" if dialect == "postgresql" else "mysql"
    for opens in (opened_and_closed, check):
        with pytest.raises(StorageUnavailableError) as caught:
            opens(f"{scheme}://somebody:{PASSWORD}@127.0.0.1:9/database")
        assert str(caught.value) == (
            f"{scheme}://somebody:***@127.0.0.1:9/database: the server does not answer (connection refused): "
            "check that it runs, its host and its port"
        )


def test_a_host_without_an_address_is_unavailable(dialect: str) -> None:
    """An unknown host name is named as the reason."""
    scheme = "postgresql" if dialect == "postgresql" else "mysql"
    with pytest.raises(StorageUnavailableError) as caught:
        opened_and_closed(f"{scheme}://somebody:{PASSWORD}@nowhere.invalid/database")
    assert str(caught.value) == (
        f"{scheme}://somebody:***@nowhere.invalid/database: the server does not answer (unknown host): "
        "check that it runs, its host and its port"
    )


@pytest.mark.parametrize("options", ["bogus=1", "charset=bogus", "ssl_ca=/nowhere", "read_timeout=soon"])
def test_options_that_the_driver_does_not_take_are_the_users(url: str, options: str) -> None:
    """Options after the ? go to the driver, and the driver's errors about them are not bugs of ours."""
    with pytest.raises(StorageError) as caught:
        opened_and_closed(f"{url}?{options}")
    assert str(caught.value).startswith(f"{url}?{options}: ")
    assert not isinstance(caught.value, StorageUnavailableError)
