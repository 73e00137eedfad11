"""Faults: what drivers say, in the user's words; and what is worth another try."""

import sqlite3

import psycopg
import pymysql  # type: ignore[import-untyped]  # it comes without types
import pytest
from sqlalchemy.exc import DBAPIError, OperationalError

from hpsearch.errors import StorageError, StorageReadOnlyError, StorageUnavailableError
from hpsearch.storage.address import parse_address
from hpsearch.storage.driver_errors import attempt, is_transient, translated

ADDRESS = parse_address("postgresql://ann:s3cret@host/trials")
SHOWN = "postgresql://ann:***@host/trials"


def fault(cause: Exception, *, lost: bool = False) -> DBAPIError:
    """Return a driver's exception as SQLAlchemy wraps it."""
    return OperationalError("SELECT 1", {}, cause, connection_invalidated=lost)


@pytest.mark.parametrize(
    ("cause", "meaning"),
    [
        (
            psycopg.OperationalError(
                'connection failed: connection to server at "127.0.0.1", port 5432 failed: '
                'FATAL:  password authentication failed for user "ann"'
            ),
            'the server refused the user "ann": check user name and password',
        ),
        (
            psycopg.OperationalError("connection failed: fe_sendauth: no password supplied"),
            'the server refused the user "ann": check user name and password',
        ),
        (
            psycopg.OperationalError('FATAL:  no pg_hba.conf entry for host "10.0.0.7", user "ann"'),
            'the server refused the user "ann": check user name and password',
        ),
        (
            pymysql.OperationalError(1045, "Access denied for user 'ann'@'host' (using password: YES)"),
            'the server refused the user "ann": check user name and password',
        ),
        (
            psycopg.OperationalError('FATAL:  database "trials" does not exist'),
            'the server has no database "trials": create it first, or check its name',
        ),
        (
            pymysql.OperationalError(1049, "Unknown database 'trials'"),
            'the server has no database "trials": create it first, or check its name',
        ),
        (
            psycopg.errors.InsufficientPrivilege("permission denied for schema public\nLINE 2: ..."),
            (
                "the user may not do this (permission denied for schema public): "
                "grant the rights to create, read and write tables"
            ),
        ),
        (
            pymysql.OperationalError(1142, "CREATE command denied to user 'ann'@'host' for table `t`"),
            (
                "the user may not do this (CREATE command denied to user 'ann'@'host' for table `t`): "
                "grant the rights to create, read and write tables"
            ),
        ),
        (
            psycopg.errors.ReadOnlySqlTransaction("cannot execute INSERT in a read-only transaction"),
            "the database is read-only: give one that can be written",
        ),
        (
            sqlite3.OperationalError("attempt to write a readonly database"),
            "the database is read-only: give one that can be written",
        ),
        (
            psycopg.ProgrammingError('invalid connection option "bogus"'),
            (
                'the server refuses a part of the URL (invalid connection option "bogus"): '
                "check the port, and the options after the ?"
            ),
        ),
        (
            psycopg.errors.UndefinedTable('relation "trials" does not exist'),
            'the database refused (relation "trials" does not exist): see the database\'s own log',
        ),
        (
            sqlite3.OperationalError("no such table: trials"),
            "the database refused (no such table: trials): see the database's own log",
        ),
    ],
)
def test_what_the_user_can_put_right_is_said_in_their_words(cause: Exception, meaning: str) -> None:
    """Each of the drivers' sentences becomes one that names the cause and the remedy."""
    error = translated(fault(cause), ADDRESS)
    is_about_rights = "may not do this" in meaning or "is read-only" in meaning
    assert type(error) is (StorageReadOnlyError if is_about_rights else StorageError)
    assert str(error) == f"{SHOWN}: {meaning}"


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        (psycopg.OperationalError("connection failed: Connection refused"), "connection refused"),
        (
            pymysql.OperationalError(2003, "Can't connect ([Errno 111] Connection refused)"),
            "connection refused",
        ),
        (psycopg.OperationalError("failed to resolve host 'host': Name not known"), "unknown host"),
        (
            pymysql.OperationalError(2003, "Can't connect ([Errno -2] Name or service not known)"),
            "unknown host",
        ),
        (psycopg.errors.ConnectionTimeout("connection timeout expired"), "no answer in time"),
        (
            psycopg.OperationalError("FATAL:  the database system is starting up"),
            "it is starting or stopping",
        ),
        (psycopg.OperationalError("FATAL:  sorry, too many clients already"), "it has too many connections"),
        (
            psycopg.OperationalError("connection failed: server closed the connection unexpectedly"),
            "it closed the connection",
        ),
        (
            pymysql.OperationalError(2013, "Lost connection to MySQL server during query"),
            "it closed the connection",
        ),
        (
            pymysql.OperationalError(2003, "Can't connect ([Errno 104] Connection reset by peer)"),
            "it closed the connection",
        ),
        (psycopg.OperationalError("connection failed: No route to host"), "its host cannot be reached"),
        (
            pymysql.OperationalError(2003, "Can't connect ([Errno 101] Network is unreachable)"),
            "its host cannot be reached",
        ),
    ],
)
def test_an_absent_server_is_unavailable(cause: Exception, reason: str) -> None:
    """A server that does not answer is an error of its own class, because the same call may succeed later."""
    error = translated(fault(cause), ADDRESS)
    assert type(error) is StorageUnavailableError
    assert str(error) == (
        f"{SHOWN}: the server does not answer ({reason}): check that it runs, its host and its port"
    )


@pytest.mark.parametrize(
    "cause",
    [
        sqlite3.OperationalError("database or disk is full"),
        psycopg.errors.DiskFull('could not extend file "base/5/16384": No space left on device'),
        pymysql.OperationalError(1114, "Disk full (/tmp/x); waiting for someone to free some space"),
    ],
)
def test_a_full_disk_may_get_room(cause: Exception) -> None:
    """A disk that is full is said to be, and waited for, because what workers have trained is not written yet."""
    error = translated(fault(cause), ADDRESS)
    assert type(error) is StorageUnavailableError
    assert str(error) == f"{SHOWN}: the disk is full: make room, nothing that was written is lost"


@pytest.mark.parametrize(
    "cause",
    [
        psycopg.errors.QueryCanceled("canceling statement due to statement timeout"),
        psycopg.errors.OutOfMemory("out of memory"),
        psycopg.errors.IoError("could not read block 5"),
        pymysql.OperationalError(1317, "Query execution was interrupted"),
        pymysql.OperationalError(1969, "Query execution was interrupted (max_statement_time exceeded)"),
    ],
)
def test_a_server_that_cannot_do_it_now_may_do_it_later(cause: Exception) -> None:
    """What the server ended or could not do is said in its own words, and waited for."""
    error = translated(fault(cause), ADDRESS)
    assert type(error) is StorageUnavailableError
    assert str(error) == (
        f"{SHOWN}: the server could not do this now ({cause.args[-1]}): see its own log, and the limits that it sets"
    )


def test_a_line_that_was_cut_is_no_wrong_option() -> None:
    """A TLS library's message about a closed connection is no certificate error."""
    cause = psycopg.OperationalError("SSL error: certificate unknown: unexpected eof while reading")
    assert type(translated(fault(cause, lost=True), ADDRESS)) is StorageUnavailableError


def test_a_driver_that_repeats_the_password_is_masked() -> None:
    """No password reaches the user through a driver's message."""
    cause = psycopg.ProgrammingError('bad connection string "postgresql://ann:s3cret@host" password=s3cret')
    assert "s3cret" not in str(translated(fault(cause), ADDRESS))


@pytest.mark.parametrize(
    "cause",
    [
        psycopg.errors.DeadlockDetected("deadlock detected"),
        psycopg.errors.SerializationFailure("could not serialize access"),
        psycopg.errors.LockNotAvailable("canceling statement due to lock timeout"),
        pymysql.OperationalError(1213, "Deadlock found when trying to get lock"),
        pymysql.OperationalError(1205, "Lock wait timeout exceeded"),
        sqlite3.OperationalError("database is locked"),
    ],
)
def test_collisions_are_tried_again(cause: Exception) -> None:
    """A transaction that collided with another one runs again, and its result counts once."""
    faults = iter([fault(cause), fault(cause)])

    def work() -> str:
        for error in faults:
            raise error
        return "done"

    assert attempt(work, ADDRESS) == "done"


def test_other_faults_are_not_tried_again() -> None:
    """A refusal is not repeated: it would be the same again, or write twice."""
    calls = []

    def work() -> None:
        calls.append(1)
        raise fault(sqlite3.OperationalError("no such table: trials"))

    with pytest.raises(StorageError):
        attempt(work, ADDRESS)
    assert len(calls) == 1
    assert not is_transient(fault(pymysql.OperationalError(1045, "Access denied")))


def test_a_lost_connection_is_tried_again_and_then_unavailable() -> None:
    """A connection that keeps getting lost ends as an absent server."""
    calls = []

    def work() -> None:
        calls.append(1)
        raise fault(psycopg.OperationalError("the connection is closed"), lost=True)

    with pytest.raises(StorageUnavailableError, match=r"\(the connection was lost\)"):
        attempt(work, ADDRESS)
    assert len(calls) > 1
