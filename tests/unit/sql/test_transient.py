# SPDX-License-Identifier: Apache-2.0
"""Which errors speak of the store, and which of the message."""

from __future__ import annotations

import sqlite3

import psycopg
import pymysql
import pytest
import sqlalchemy.exc as sa_exc

from holdfast._sql.transient import is_transient


def sqlite_error(code):
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorcode = code
    return error


def wrapped(error, *, lost=False):
    return sa_exc.OperationalError("INSERT", {}, error, connection_invalidated=lost)


class Foreign(Exception):
    """An error of another library whose first argument happens to be one of MySQL's numbers."""


STORE = {
    "postgresql serialization failure": psycopg.errors.SerializationFailure(),
    "postgresql deadlock": psycopg.errors.DeadlockDetected(),
    "postgresql lock timeout": psycopg.errors.LockNotAvailable(),
    "postgresql shutting down": psycopg.errors.AdminShutdown(),
    "postgresql too many connections": psycopg.errors.TooManyConnections(),
    "postgresql disk full": psycopg.errors.DiskFull(),
    "postgresql connection failure": psycopg.errors.ConnectionFailure(),
    "sqlite busy": sqlite_error(sqlite3.SQLITE_BUSY),
    "sqlite snapshot too old": sqlite_error(sqlite3.SQLITE_BUSY_SNAPSHOT),
    "sqlite table locked": sqlite_error(sqlite3.SQLITE_LOCKED),
    "sqlite full": sqlite_error(sqlite3.SQLITE_FULL),
    "nobody at the address": wrapped(psycopg.OperationalError("connection refused")),
    "connection lost": wrapped(Exception("gone"), lost=True),
    "pool exhausted": sa_exc.TimeoutError("QueuePool limit"),
    **{f"mysql {code}": wrapped(pymysql.err.OperationalError(code, "")) for code in (1205, 1213, 2006, 2013, 1040)},
}

MESSAGE = {
    "postgresql unique violation": psycopg.errors.UniqueViolation(),
    "postgresql statement timeout": psycopg.errors.QueryCanceled(),
    "postgresql idle in transaction": psycopg.errors.IdleInTransactionSessionTimeout(),
    "postgresql no such table": psycopg.errors.UndefinedTable(),
    "sqlite constraint": sqlite_error(sqlite3.SQLITE_CONSTRAINT),
    "sqlite no such table": sqlite_error(sqlite3.SQLITE_ERROR),
    "mysql duplicate key": wrapped(pymysql.err.IntegrityError(1062, "")),
    "mysql no such table": wrapped(pymysql.err.ProgrammingError(1146, "")),
    "another library's number": wrapped(Foreign(1205)),
    "anything else": ValueError(1205),
}


@pytest.mark.parametrize("error", STORE.values(), ids=STORE)
def test_the_stores_trouble_is_transient(error):
    assert is_transient(error)
    assert is_transient(wrapped(error))


@pytest.mark.parametrize("error", MESSAGE.values(), ids=MESSAGE)
def test_the_messages_trouble_is_not(error):
    assert not is_transient(error)
    assert not is_transient(wrapped(error))


def test_an_error_raised_from_a_transient_one_is_transient():
    with pytest.raises(ValueError, match="billing") as caught:
        raise ValueError("billing failed") from wrapped(psycopg.errors.DeadlockDetected())
    assert is_transient(caught.value)


def test_an_error_raised_while_another_was_handled_is_not():
    def clumsy():
        try:
            raise psycopg.errors.DeadlockDetected
        except psycopg.Error:
            return {}["no such customer"]

    with pytest.raises(KeyError) as caught:
        clumsy()
    assert not is_transient(caught.value)


def test_a_circle_of_causes_ends():
    first, second = ValueError(), ValueError()
    first.__cause__, second.__cause__ = second, first
    assert not is_transient(first)
