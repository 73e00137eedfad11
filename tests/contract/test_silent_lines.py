"""Lines to a server that fall silent, and servers that cancel, kill and refuse: no call waits forever."""

import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, make_url, text

from hpsearch.errors import StorageReadOnlyError, StorageUnavailableError
from hpsearch.storage.drivers import ANSWER_WITHIN_S, WORK_WITHIN_S, working_long
from hpsearch.storage.store import Store, open_store
from hpsearch.worker.retry import Reconnect
from hpsearch.worker.shutdown import StopRequest
from tests.chaos.proxy import Proxy
from tests.contract.laboratory import FINGERPRINT, Lab, a_spec, kill_others

READ_TIMEOUT_S = 2


@pytest.fixture(params=["postgresql", "mariadb"])
def dialect(request: pytest.FixtureRequest) -> str:
    """Provide each kind of server in turn."""
    chosen: str = request.param
    return chosen


@pytest.fixture
def line(url: str) -> Iterator[tuple[Proxy, str]]:
    """Provide a line to the server, and the URL of the database through it, with a short time for answers."""
    there = make_url(url)
    with Proxy(there.port or (5432 if there.drivername.startswith("postgresql") else 3306)) as proxy:
        through = there.set(host="127.0.0.1", port=proxy.port)
        through = through.update_query_dict({"read_timeout": str(READ_TIMEOUT_S)})
        yield proxy, through.render_as_string(hide_password=False)


def test_a_line_that_falls_silent_is_replaced(line: tuple[Proxy, str]) -> None:
    """A connection that never answers is lost after a while, and the call is made over a new one."""
    proxy, url = line
    with open_store(url) as store:
        study = store.studies.create(a_spec(), fingerprint=FINGERPRINT)
        proxy.fall_silent()
        proxy.speak_again()
        began = time.monotonic()
        assert len(store.queue.claim(study, worker="ann", count=2, lease_s=600.0)) == 2
        assert READ_TIMEOUT_S <= time.monotonic() - began < 4 * READ_TIMEOUT_S
        store.studies.delete(study.name)


def test_a_server_behind_a_silent_line_is_absent(line: tuple[Proxy, str]) -> None:
    """New connections are given up in time too, and the error is that of a server that does not answer."""
    proxy, url = line
    separator = "&" if "?" in url else "?"
    with open_store(f"{url}{separator}connect_timeout=2") as store:
        proxy.fall_silent()
        with pytest.raises(StorageUnavailableError, match=r"does not answer \(no answer in time\)"):
            store.studies.all()


def test_something_that_listens_and_never_speaks_is_no_server(dialect: str) -> None:
    """A port of another service, or of the other kind of server, fails within the time for a connection."""
    scheme = "postgresql" if dialect == "postgresql" else "mysql"
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"{scheme}://ann@127.0.0.1:{mute.getsockname()[1]}/trials?connect_timeout=2"
        began = time.monotonic()
        with pytest.raises(StorageUnavailableError, match="no answer in time"):
            open_store(url)
        assert time.monotonic() - began < 6


def limit_of(connection: Connection) -> int:
    """Return for how many seconds of silence a connection waits."""
    made = connection.connection.dbapi_connection
    return int(
        getattr(made, "answer_within_s" if connection.dialect.driver == "psycopg" else "_read_timeout")
    )


def test_the_url_has_the_last_word(url: str, dialect: str) -> None:
    """Silence is bounded, longer while a study is deleted and dead peers are asked; what the URL sets stays so."""
    with open_store(url) as store, store._transactions.engine.connect() as connection:
        assert limit_of(connection) == ANSWER_WITHIN_S
        with working_long(connection):
            assert limit_of(connection) == WORK_WITHIN_S
        assert limit_of(connection) == ANSWER_WITHIN_S
    chosen = {"read_timeout": "77"} | ({"keepalives_idle": "78"} if dialect == "postgresql" else {})
    own = make_url(url).update_query_dict(chosen)
    with (
        open_store(own.render_as_string(hide_password=False)) as store,
        store._transactions.engine.connect() as connection,
    ):
        with working_long(connection):
            assert limit_of(connection) == 77
        made: Any = connection.connection.dbapi_connection
        if dialect == "postgresql":
            options = made.info.get_parameters()
            assert (options["keepalives_idle"], options["tcp_user_timeout"]) == ("78", "25000")
        else:
            assert made._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 10


def test_an_answer_may_take_longer_than_a_silence(line: tuple[Proxy, str], dialect: str) -> None:
    """It is the silence that is bounded: rows that keep coming are read to the last, however long that takes."""
    _, url = line
    rows = "SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4"
    sleep = "pg_sleep" if dialect == "postgresql" else "sleep"
    slow = f"SELECT {sleep}(0.8), repeat('x', 100000) FROM ({rows}) AS t"
    with open_store(url) as store:
        began = time.monotonic()
        assert len(store._transactions.read(lambda connection: connection.execute(text(slow)).all())) == 4
        assert time.monotonic() - began > READ_TIMEOUT_S


@pytest.mark.parametrize("strike", ["cancel", "kill"])
def test_a_statement_that_an_administrator_ends_is_run_again(
    new_lab: Callable[..., Lab], dialect: str, strike: str, caplog: pytest.LogCaptureFixture
) -> None:
    """pg_cancel_backend, KILL QUERY and their like cost another try, and no traceback in the log."""
    lab = new_lab()
    strikes = iter([True])

    def work(connection: Connection) -> int:
        if next(strikes, False):
            kill_others(lab, dialect) if strike == "kill" else take_too_long(connection, dialect)
        return len(connection.execute(text("SELECT 1")).all())

    assert lab.store._transactions.write(work) == 1
    assert [record for record in caplog.records if record.exc_info] == []


def take_too_long(connection: Connection, dialect: str) -> None:
    """Run a statement that its server cancels because it takes too long."""
    limit, slow = {
        "postgresql": ("SET LOCAL statement_timeout = '50ms'", "SELECT pg_sleep(30)"),
        "mariadb": ("SET STATEMENT max_statement_time = 0.05 FOR SELECT sleep(30)", "SELECT 1"),
    }[dialect]
    connection.execute(text(limit))
    connection.execute(text(slow))


def turn(store: Store, dialect: str, *, is_read_only: bool) -> None:
    """Let a store's only connection refuse to write, as all do on a server after a failover, or take writes again."""
    name = "default_transaction_read_only" if dialect == "postgresql" else "SESSION tx_read_only"
    with store._transactions.engine.connect() as connection:
        connection.execute(text(f"SET {name} = {'on' if is_read_only else 'off'}"))
        connection.commit()


def test_a_database_that_turns_read_only_is_waited_for(new_lab: Callable[..., Lab], dialect: str) -> None:
    """A failover in mid-run is an outage: workers wait, and continue when the database can be written again."""
    lab = new_lab()
    assert len(lab.claim(1)) == 1
    turn(lab.store, dialect, is_read_only=True)
    said: list[str] = []

    def heal() -> None:
        turn(lab.store, dialect, is_read_only=False)

    claims = Reconnect(stop=StopRequest(), notify=said.append, every_s=0.01).call(
        lambda: lab.claim(2), between=heal
    )
    assert len(claims) == 2
    assert ["has become read-only, as in a failover" in line for line in said] == [True]


def test_who_may_not_write_at_the_start_is_refused_at_once(url: str, dialect: str) -> None:
    """A database that never accepted a write of this process is not a failover: the error states that."""
    with open_store(url) as store:
        study = store.studies.create(a_spec(), fingerprint=FINGERPRINT)
    with open_store(url) as other:
        turn(other, dialect, is_read_only=True)
        with pytest.raises(
            StorageReadOnlyError, match="the database is read-only: give one that can be written"
        ):
            other.queue.claim(study, worker="ann", count=1, lease_s=600.0)
        turn(other, dialect, is_read_only=False)
        other.studies.delete(study.name)
