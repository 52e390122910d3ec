# SPDX-License-Identifier: Apache-2.0
"""The resource's side of fencing: who comes late is refused where it writes.

::

    guard = SqlGuard()

    async with locks.lock("account:7").hold() as held:
        async with sessions() as session, session.begin():
            await guard.check(session, "account:7", held)     # FenceRejected: somebody later has written
            session.add(Posting(account=7, amount=12))

    offer.py     pure: whether a guard takes an offer. Open this first
    header.py    pure: an offer as text, for HTTP and for files
    refusal.py   the contract ``Guard``, and the refusal all of them share
    sql.py       in the user's transaction         redis.py   with the writes, in one step of the server
    asgi.py      at the door of an HTTP service    file.py    around a file that is replaced
    memory.py    for tests

A guard keeps the last token of each resource and does not forget it: delete one when no holder can be left that had an
earlier one.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .asgi import FenceMiddleware
from .file import FileGuard
from .header import HEADER, header_of
from .memory import MemoryGuard
from .offer import Fenced, Offer, Verdict, decide
from .redis import RedisGuard
from .refusal import Guard

if TYPE_CHECKING:
    from .sql import SqlGuard

__all__ = [
    "HEADER", "FenceMiddleware", "Fenced", "FileGuard", "Guard", "MemoryGuard", "Offer", "RedisGuard", "SqlGuard",
    "Verdict", "decide", "header_of",
]

#: What is opened when it is first asked for: this room opens without SQLAlchemy.
_LATE = {"SqlGuard": "sql"}


def __getattr__(name: str) -> Any:
    if name in _LATE:
        import_module("..._sql", __name__)  # says which extra is missing, if it is
        return getattr(import_module(f".{_LATE[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
