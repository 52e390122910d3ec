# SPDX-License-Identifier: Apache-2.0
"""What a database's refusal means for a guarded key."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import OperationalError, ProgrammingError, SQLAlchemyError

from ..._sql import is_transient
from ...errors import ConfigurationError, EffectError, HoldfastError, ServerUnreachable
from .records import Busy, Claimed

T = TypeVar("T")

_POSTGRES_LOCK, _MYSQL_LOCK, _SQLITE_BUSY = "55P03", 1205, 5


def answer(error: SQLAlchemyError, waited: Callable[[], T] | None) -> T:
    """``waited()`` when a lock was waited for in vain; anything else is raised as an error of ours."""
    if waited is not None and _is_lock_wait(error):
        return waited()
    raise _told(error) from error


def busy() -> Claimed:
    """The row is locked by a transaction that has not ended: somebody is at it, for we do not know how long."""
    return Busy(0)


def _is_lock_wait(error: SQLAlchemyError) -> bool:
    cause = getattr(error, "orig", None)
    if isinstance(cause, sqlite3.Error):
        return (getattr(cause, "sqlite_errorcode", None) or 0) & 0xFF == _SQLITE_BUSY
    if _POSTGRES_LOCK in (getattr(cause, "sqlstate", None), getattr(cause, "pgcode", None)):
        return True
    return getattr(cause, "args", ())[:1] == (_MYSQL_LOCK,)


def _told(error: SQLAlchemyError) -> HoldfastError:
    text = str(getattr(error, "orig", None) or error).partition("\n")[0]
    if is_transient(error):
        return ServerUnreachable(f"the database behind the guard is away or busy: {text}", maybe_done=True)
    if isinstance(error, ProgrammingError | OperationalError):
        return ConfigurationError(f"the database refused what the guard asked; are our tables there? `holdfast sql "
                                  f"init` makes them: {text}")
    return EffectError(f"the database refused the guard's record: {text}")
