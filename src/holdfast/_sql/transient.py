# SPDX-License-Identifier: Apache-2.0
"""Errors that say "the store is busy, in conflict, full or away", and nothing about the message.

A transient error is retried without counting an attempt, so the list must hold nothing that the same message can cause
for ever. Left out on that ground: PostgreSQL's 57014 (a statement ran into its time limit) and 25P03 (the handler let
the transaction lie idle past its limit). Both count, and such a message ends in a dead letter.

Sources: PostgreSQL appendix A (error codes); SQLite "Result and Error Codes"; MySQL and MariaDB error references.
"""

from __future__ import annotations

import sqlite3

import sqlalchemy.exc

_POSTGRES = {
    "40001",  # serialization failure
    "40P01",  # deadlock detected
    "55P03",  # lock not available: lock_timeout or NOWAIT
    "57P01",  # the server is shutting down
    "57P02",  # another server process crashed
    "57P03",  # the server is starting up
}
#: Classes of SQLSTATE: the connection (08), and resources: too many connections, disk full, out of memory (53).
_POSTGRES_CLASSES = ("08", "53")

#: SQLITE_BUSY, SQLITE_LOCKED, SQLITE_FULL; the low byte of an extended code.
_SQLITE = {5, 6, 13}

_MYSQL = {
    1205,  # lock wait timeout
    1213,  # deadlock
    1020,  # record has changed since last read (MariaDB's snapshot isolation)
    1021, 1114,  # disk full, table full
    1040, 1203,  # too many connections
    1053, 1927,  # server shutdown, connection killed
    2002, 2003, 2006, 2013,  # cannot connect, server gone, connection lost
}

#: Longest chain of ``raise … from …`` that is followed.
_DEPTH = 8


def is_transient(error: BaseException | None) -> bool:
    """Is the store the cause of ``error``? Follows SQLAlchemy's ``orig`` and explicit ``raise … from …``.

    An error merely raised while another was being handled (``__context__``) is not followed: it may be about anything.
    """
    for _ in range(_DEPTH):
        if error is None:
            return False
        if _speaks_of_store(error):
            return True
        error = getattr(error, "orig", None) or error.__cause__
    return False


def _speaks_of_store(error: BaseException) -> bool:
    if isinstance(error, sqlalchemy.exc.TimeoutError):  # no connection came free in the pool
        return True
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    if isinstance(state, str):
        return state in _POSTGRES or state.startswith(_POSTGRES_CLASSES)
    if isinstance(error, sqlite3.Error):
        return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF in _SQLITE
    if isinstance(error, sqlalchemy.exc.DBAPIError):
        return error.connection_invalidated or _mysql_code(error.orig) in _MYSQL or _cannot_connect(error.orig)
    return False


def _mysql_code(error: BaseException | None) -> int | None:
    """The error number of a MySQL driver: they all put it first."""
    code = error.args[0] if error is not None and error.args else None
    return code if isinstance(code, int) and type(error).__module__.partition(".")[0] in _MYSQL_DRIVERS else None


_MYSQL_DRIVERS = {"asyncmy", "pymysql", "aiomysql", "MySQLdb"}


def _cannot_connect(error: BaseException | None) -> bool:
    """When no server answers, psycopg raises an OperationalError without a state."""
    kind = type(error)
    return kind.__module__.startswith("psycopg") and kind.__name__ in ("OperationalError", "ConnectionTimeout")
