"""Codes: what each error of a server means for the transaction that met it."""

import psycopg
import pymysql  # type: ignore[import-untyped]  # it comes without types
import pytest
from psycopg import errors

from hpsearch.storage.driver_errors import AT_ONCE, PASSING, Kind, code_of, kind_of

PASSING_CLASSES = ("08", "53", "55", "57", "58")
"""Classes of SQLSTATEs that say what state a server or a connection is in, and nothing about the statement."""

DAMAGED = ("XX001", "XX002")

STATES = sorted(
    {state for state in vars(errors)["_sqlcodes"] if state[:2] in (*PASSING_CLASSES, "40", "XX")} - {"40002"}
)


@pytest.mark.parametrize("state", STATES)
def test_a_server_in_another_state_is_waited_for(state: str) -> None:
    """SQLSTATEs of the classes about connections, resources, operators and the system pass; damaged data does not."""
    kind = kind_of(errors.lookup(state)("any words, in any language"))
    assert (kind in PASSING) is (state not in DAMAGED)


@pytest.mark.parametrize("state", ["22001", "23505", "23502", "25P02", "28P01", "3D000", "42501", "42P01"])
def test_a_statement_that_is_wrong_is_not_waited_for(state: str) -> None:
    """What is wrong with a statement, a user or a name is so again the next time."""
    assert kind_of(errors.lookup(state)("any words")) is None


@pytest.mark.parametrize(
    ("cause", "kind"),
    [
        (errors.QueryCanceled("x"), Kind.CANCELLED),
        (errors.ReadOnlySqlTransaction("x"), Kind.READ_ONLY),
        (errors.DiskFull("x"), Kind.FULL),
        (errors.SerializationFailure("x"), Kind.COLLISION),
        (pymysql.err.OperationalError(1317, "x"), Kind.CANCELLED),
        (pymysql.err.OperationalError(1969, "x"), Kind.CANCELLED),
        (pymysql.err.OperationalError(3024, "x"), Kind.CANCELLED),
        (pymysql.err.OperationalError(1290, "x"), Kind.READ_ONLY),
        (pymysql.err.OperationalError(1290, "x", sqlstate="HY000"), Kind.READ_ONLY),
        (pymysql.err.InternalError(1792, "x"), Kind.READ_ONLY),
        (pymysql.err.OperationalError(1836, "x"), Kind.READ_ONLY),
        (pymysql.err.OperationalError(1927, "x"), Kind.ABSENT),
        (pymysql.err.OperationalError(1040, "x"), Kind.CROWDED),
        (pymysql.err.OperationalError(1213, "x"), Kind.COLLISION),
        (pymysql.err.OperationalError(1062, "x"), None),
        (psycopg.OperationalError("x"), None),
        (ValueError(), None),
    ],
)
def test_a_code_has_one_meaning(cause: Exception, kind: Kind | None) -> None:
    """Each action on a running server has its own kind of error, for any wording of the server."""
    assert kind_of(cause) is kind


def test_both_drivers_of_postgresql_name_the_code() -> None:
    """Psycopg 2 calls the SQLSTATE `pgcode`."""
    error = type("Error", (Exception,), {"pgcode": "57014"})("x")
    assert (code_of(error), kind_of(error)) == ("57014", Kind.CANCELLED)
    assert Kind.CANCELLED in AT_ONCE
