"""Error codes of database servers, as data: the meaning of each for the transaction that received it.

PostgreSQL: SQLSTATEs, appendix A of its documentation. MySQL: "Server Error Message Reference" and "Client Error
Message Reference". MariaDB: "MariaDB Error Code Reference". SQLite: "Result and Error Codes".
"""

from collections.abc import Mapping
from enum import Enum
from typing import Any, Final, final


@final
class Kind(Enum):
    """The meaning of an error. The value is the text shown to users."""

    COLLISION = "another transaction was in the way"
    CANCELLED = "it cancelled the statement"
    ABSENT = "it closed the connection"
    CROWDED = "it has too many connections"
    SHORT = "it is short of memory or another resource"
    TROUBLED = "it is in trouble"
    FULL = "its disk is full"
    READ_ONLY = "it is read-only"


PASSING: Final = frozenset(Kind) - {Kind.READ_ONLY}
"""Transient errors: the same transaction may succeed later."""

AT_ONCE: Final = frozenset({Kind.COLLISION, Kind.CANCELLED})
"""Errors after which the same transaction may succeed immediately."""

UNCERTAIN: Final = frozenset({Kind.CANCELLED, Kind.ABSENT, Kind.SHORT, Kind.TROUBLED})
"""Errors that leave open whether a commit succeeded."""

SESSION_ENDED: Final = frozenset(
    {
        "57P01",  # admin_shutdown, and pg_terminate_backend
        "57P02",  # crash_shutdown
        "57P03",  # cannot_connect_now
        "57P04",  # database_dropped
        "57P05",  # idle_session_timeout
        "25P03",  # idle_in_transaction_session_timeout
        "25P04",  # transaction_timeout
        1053,  # server shutdown in progress
        1079,  # shutdown complete
        1080,  # forcing close of thread
        1152,  # aborted connection
        1158,  # error reading communication packets
        1159,  # timeout reading communication packets
        1160,  # error writing communication packets
        1161,  # timeout writing communication packets
        1184,  # aborted connection
        1927,  # MariaDB: connection was killed
        2006,  # client: server has gone away
        2013,  # client: lost connection during query
        2055,  # client: lost connection
        3032,  # MySQL: the server is in offline mode
        3169,  # MySQL: session was killed
        4031,  # MySQL: disconnected because of inactivity
    }
)
"""Codes with which a server ends a session, or a driver reports that one has ended."""

_SQLSTATES: Final[Mapping[str, Kind]] = {
    "08": Kind.ABSENT,  # connection_exception
    "23503": Kind.COLLISION,  # foreign_key_violation: another Optuna client has deleted the study since our read
    "25006": Kind.READ_ONLY,  # read_only_sql_transaction: a standby, or default_transaction_read_only
    "25P03": Kind.ABSENT,
    "25P04": Kind.ABSENT,
    "40": Kind.COLLISION,  # transaction_rollback: serialization failures, deadlocks
    "40003": Kind.ABSENT,  # statement_completion_unknown
    "53": Kind.SHORT,  # insufficient_resources: 53200 out_of_memory, 53400 configuration_limit_exceeded
    "53100": Kind.FULL,  # disk_full
    "53300": Kind.CROWDED,  # too_many_connections
    "55": Kind.TROUBLED,  # object_not_in_prerequisite_state: in use, in recovery, not accepting connections
    "55P03": Kind.COLLISION,  # lock_not_available
    "57": Kind.ABSENT,  # operator_intervention
    "57014": Kind.CANCELLED,  # query_canceled: pg_cancel_backend, statement_timeout
    "58": Kind.TROUBLED,  # system_error: input and output, missing files
    "XX000": Kind.TROUBLED,  # internal_error; XX001 and XX002, damaged data, are permanent
}
"""SQLSTATE, or its class (the first two characters), -> meaning. The whole code takes precedence."""

_MYSQL: Final[Mapping[int, Kind]] = {
    1020: Kind.COLLISION,  # record has changed since last read
    1205: Kind.COLLISION,  # lock wait timeout exceeded
    1213: Kind.COLLISION,  # deadlock
    1452: Kind.COLLISION,  # foreign key violation: another Optuna client has deleted the study since our read
    1613: Kind.COLLISION,  # XA_RBTIMEOUT
    1614: Kind.COLLISION,  # XA_RBDEADLOCK
    3058: Kind.COLLISION,  # MySQL: deadlock of user-level locks
    3572: Kind.COLLISION,  # MySQL: NOWAIT
    1317: Kind.CANCELLED,  # query execution was interrupted: KILL QUERY
    1968: Kind.CANCELLED,  # MariaDB: query interrupted, LIMIT ROWS EXAMINED
    1969: Kind.CANCELLED,  # MariaDB: max_statement_time exceeded
    3024: Kind.CANCELLED,  # MySQL: max_execution_time exceeded
    1047: Kind.ABSENT,  # MariaDB: a Galera node that is not ready
    1077: Kind.ABSENT,  # normal shutdown
    2002: Kind.ABSENT,  # client: cannot connect through socket
    2003: Kind.ABSENT,  # client: cannot connect
    2014: Kind.ABSENT,  # client: commands out of sync
    2027: Kind.ABSENT,  # client: malformed packet
    2045: Kind.ABSENT,  # client: cannot open shared memory
    3168: Kind.ABSENT,  # MySQL: server is not available
    1040: Kind.CROWDED,  # too many connections
    1129: Kind.CROWDED,  # host is blocked because of many connection errors
    1135: Kind.CROWDED,  # cannot create a thread
    1203: Kind.CROWDED,  # user has more than max_user_connections
    1226: Kind.CROWDED,  # user has exceeded a resource
    1037: Kind.SHORT,  # out of memory
    1038: Kind.SHORT,  # out of sort memory
    1041: Kind.SHORT,  # out of memory
    1206: Kind.SHORT,  # more locks than the lock table has room for
    1637: Kind.SHORT,  # too many active transactions
    1015: Kind.TROUBLED,  # cannot lock file
    1023: Kind.TROUBLED,  # error on close
    1024: Kind.TROUBLED,  # error reading file
    1026: Kind.TROUBLED,  # error writing file
    1030: Kind.TROUBLED,  # error from the storage engine
    1180: Kind.TROUBLED,  # error during commit
    1181: Kind.TROUBLED,  # error during rollback
    1021: Kind.FULL,  # disk full
    1114: Kind.FULL,  # table is full
    1290: Kind.READ_ONLY,  # the server runs with the read_only option
    1792: Kind.READ_ONLY,  # transaction_read_only
    1836: Kind.READ_ONLY,  # running in read-only mode
    3100: Kind.TROUBLED,  # MySQL: a replication hook failed before the commit
    3101: Kind.COLLISION,  # MySQL: group replication rolled the transaction back
}
"""Error number of MySQL, MariaDB or their client -> meaning."""

_SQLITE: Final[Mapping[str, Kind]] = {
    "SQLITE_BUSY": Kind.COLLISION,
    "SQLITE_LOCKED": Kind.COLLISION,
    "SQLITE_READONLY": Kind.READ_ONLY,
    "SQLITE_FULL": Kind.FULL,
    "SQLITE_PROTOCOL": Kind.COLLISION,  # the locks of the log were contended
    "SQLITE_INTERRUPT": Kind.CANCELLED,
    "SQLITE_NOMEM": Kind.SHORT,
    "SQLITE_IOERR_NOMEM": Kind.SHORT,
    "SQLITE_IOERR_WRITE": Kind.TROUBLED,
    "SQLITE_IOERR_FSYNC": Kind.TROUBLED,
    "SQLITE_IOERR_TRUNCATE": Kind.TROUBLED,
    "SQLITE_IOERR_LOCK": Kind.TROUBLED,
    "SQLITE_IOERR_SHMSIZE": Kind.TROUBLED,  # often a full disk
    "SQLITE_IOERR_SHMMAP": Kind.TROUBLED,
}
"""Name of an error of SQLite, or of its family (SQLITE_BUSY of SQLITE_BUSY_SNAPSHOT), -> meaning."""


def code_of(cause: Any) -> str | int | None:
    """Return the SQLSTATE, or the MySQL or MariaDB number, of a driver's exception; None if it has neither."""
    first = cause.args[0] if getattr(cause, "args", ()) else None
    if isinstance(first, int):
        return first  # PyMySQL's errors have an SQLSTATE too, mostly HY000
    state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    return state if isinstance(state, str) else None


def kind_of(cause: Any) -> Kind | None:
    """Return the meaning of a driver's exception, or None if its code is unknown."""
    code = code_of(cause)
    if isinstance(code, str):
        return _SQLSTATES.get(code, _SQLSTATES.get(code[:2]))
    if code in SESSION_ENDED:
        return Kind.ABSENT
    if code is not None:
        return _MYSQL.get(code)
    name = getattr(cause, "sqlite_errorname", "")
    return _SQLITE.get(name, _SQLITE.get("_".join(name.split("_")[:2])))
