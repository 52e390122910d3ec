# SPDX-License-Identifier: Apache-2.0
"""Locks as one process after another would have them, on a server of the test's own."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from holdfast._redis.keys import LockKeys
from holdfast._redis.open import open_server
from holdfast.locks import Locks, LockSettings

#: Short leases, and a poll that no test waits for: who goes on in time was told.
QUICK: dict[str, Any] = {"ttl_s": 0.6, "poll_s": 30.0}


@contextlib.asynccontextmanager
async def locks_at(url: str, *, events: Any = None, clock: Any = None, **settings: Any) -> AsyncIterator[Locks]:
    """What one process has."""
    server = await open_server(url)
    locks = Locks(server, LockSettings(**(QUICK | settings)), events=events, clock=clock)
    try:
        yield locks
    finally:
        await locks.close()
        await server.close()


def key_of(name: str) -> bytes:
    """Where the lock lies."""
    return LockKeys("hf", name).lock
