# SPDX-License-Identifier: Apache-2.0
"""Where the records of guarded keys are kept: the contract that every store fulfils.

Each step is atomic, judges time by one clock that all who share the store agree on, and means what ``records`` says.
Every step may be asked again by the same owner after a lost answer, and answers the same.

``tests/contract/test_dedup_store.py`` is the conformance kit: a store of your own joins it with a line there.
"""

from __future__ import annotations

from typing import Any, Protocol

from .records import Claimed, Mark, Record


class PlainStore(Protocol):
    """The store for plain code: threads, scripts, cron jobs. Each call waits for its answer.

    Raises ``ServerUnreachable`` when the store does not answer; then nothing is known, and asking again is harmless.
    """

    def claim(self, mark: Mark) -> Claimed:
        """Makes ``mark`` the running one if nobody else has the key."""
        ...

    def renew(self, mark: Mark) -> bool:
        """Extends the lease by ``mark.lease_ms`` from now; False when the mark is gone or another's."""
        ...

    def finish(self, mark: Mark, result: bytes) -> bool:
        """Makes the record done, with ``result``, for ``mark.retention_ms``; False when the key is another's."""
        ...

    def clear(self, mark: Mark) -> bool:
        """Removes the running mark, so that the next claim is the first; False when it is gone, done or another's."""
        ...

    def look(self, namespace: str, key: str) -> Record | None:
        """What is known of the key."""
        ...

    def prune(self, namespace: str, retention_ms: int, limit: int) -> int:
        """Removes up to ``limit`` records that ended ``retention_ms`` ago or before, and marks that were left that
        long; returns how many. 0 where records expire by themselves."""
        ...

    def close(self) -> None:
        """Closes what the plain side has opened."""
        ...


class DedupStore(Protocol):
    """The same steps for coroutines, and the way to the plain side. Renewals use connections of their own."""

    async def claim(self, mark: Mark) -> Claimed:
        """See ``PlainStore.claim``."""
        ...

    async def renew(self, mark: Mark) -> bool:
        """See ``PlainStore.renew``."""
        ...

    async def finish(self, mark: Mark, result: bytes) -> bool:
        """See ``PlainStore.finish``."""
        ...

    async def clear(self, mark: Mark) -> bool:
        """See ``PlainStore.clear``."""
        ...

    async def look(self, namespace: str, key: str) -> Record | None:
        """See ``PlainStore.look``."""
        ...

    async def prune(self, namespace: str, retention_ms: int, limit: int) -> int:
        """See ``PlainStore.prune``."""
        ...

    async def close(self) -> None:
        """Closes what was opened here, on both sides."""
        ...

    def plain(self) -> PlainStore:
        """The same records for plain code."""
        ...

    def within(self, session: Any) -> DedupStore:
        """The store inside the user's open transaction, so that effect and record commit together.

        Raises ``ConfigurationError`` where there are no such transactions.
        """
        ...
