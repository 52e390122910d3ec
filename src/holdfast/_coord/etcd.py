# SPDX-License-Identifier: Apache-2.0
"""Keys of etcd v3 over its JSON gateway: read, write on condition, wait until one is gone.

::

    etcd = Etcd(["http://127.0.0.1:2379"])
    written = await etcd.put_if(b"windows/7", b"…", mod_revision=0)     # 0: only if it is not there
    written = await etcd.put_if(b"windows/7", b"…", mod_revision=written.revision)

Rejected: a gRPC client, which brings a compiled library and generated code for the eight calls we make.

Every write raises ``ServerUnreachable`` with ``maybe_done`` when its answer was lost. A conditional one can be said
again by whoever gave it a value of its own: that the value is there is the answer. ``EtcdSession.create`` does so.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence

from .._base.clock import Clock, SystemClock
from .._base.thinned import Thinned
from ..errors import ServerUnreachable
from . import etcd_words as words
from .etcd_words import KeyValue, Words, Written
from .gateway import Gateway, User
from .tenure import AGAIN_S

#: Watches at once in one process. Each is a connection, as HTTP/1.1 has it.
WATCHES_MAX = 500


class Etcd:
    """One etcd. endpoints, timeout_s, verify, user: see ``Gateway``. watch_s: a watch that is silent for so long looks
    again.

    Raises MissingExtra without httpx2.
    """

    def __init__(self, endpoints: Sequence[str], *, clock: Clock | None = None, timeout_s: float = 2.0,
                 watch_s: float = 10.0, verify: ssl.SSLContext | None = None, user: User | None = None) -> None:
        self.clock = clock or SystemClock()
        self.watch_s, self._verify, self._user = watch_s, verify, user
        self._gateway = Gateway(endpoints, timeout_s=timeout_s, verify=verify, user=user)
        self._watches = Gateway(endpoints, timeout_s=timeout_s, verify=verify, user=user, connections=WATCHES_MAX)
        self.trouble = Thinned(self.clock)

    @property
    def name(self) -> str:
        """For errors and logs."""
        return f"etcd {', '.join(self._gateway.endpoints)}"

    def own_way(self) -> Gateway:
        """Another gateway with connections of its own, for what must not queue behind anything. Its maker closes it."""
        return Gateway(self._gateway.endpoints, timeout_s=self._gateway.timeout_s, verify=self._verify, user=self._user,
                       connections=2)

    # -- reading --------------------------------------------------------------------------------------------------

    async def get(self, key: bytes) -> KeyValue | None:
        """The key as a majority has it; None when it is not there."""
        return (await self._looked(key))[0]

    async def _looked(self, key: bytes) -> tuple[KeyValue | None, int]:
        answer = await self._gateway.call("/v3/kv/range", words.one(key), reads=True)
        found = words.key_values(answer)
        return found[0] if found else None, words.revision_of(answer)

    async def among(self, prefix: bytes) -> list[KeyValue]:
        """All keys that begin so, oldest first."""
        return words.key_values(await self._gateway.call("/v3/kv/range", words.under(prefix), reads=True))

    async def gone(self, key: bytes, create_revision: int = 0) -> None:
        """Returns when the key is not there, or was made anew since ``create_revision`` (0: since the first look).

        Looks, then watches from the revision of that look, so that nothing slips in between; looks again when the watch
        breaks off or is silent for ``watch_s``. A server that is away is waited for.
        """
        while True:
            try:
                found, revision = await self._looked(key)
                if found is None or found.create_revision != (create_revision or found.create_revision):
                    return
                create_revision = found.create_revision
                await self._deleted(key, revision + 1)  # guard: from the look on
            except ServerUnreachable as error:
                if not isinstance(error.__cause__, self._watches.silence):
                    self.trouble.warn(f"watching a key of {self.name}", error)
                    await asyncio.sleep(AGAIN_S)

    async def _deleted(self, key: bytes, revision: int) -> None:
        """Returns at a deletion, or when the watch ends, which may be for any reason: the caller looks again."""
        body = words.deleted_since(key, revision)
        async with self._watches.stream("/v3/watch", body, silent_s=self.watch_s) as answers:
            async for answer in answers:
                if answer.get("canceled"):
                    self._watches.forget()  # guard: in etcd's words a token that it has forgotten is a right not given
                if answer.get("events") or answer.get("canceled"):
                    return

    # -- writing --------------------------------------------------------------------------------------------------

    async def put(self, key: bytes, value: bytes, *, lease: int = 0) -> int:
        """Writes, whatever is there. The revision of the write."""
        return words.revision_of(await self._gateway.call("/v3/kv/put", words.put(key, value, lease)))

    async def put_if(self, key: bytes, value: bytes, *, mod_revision: int, lease: int = 0) -> Written:
        """Writes if the key was last written at ``mod_revision``; 0: if it is not there."""
        return words.written(await self.txn(
            [words.unchanged(key, mod_revision)],
            [words.step("put", words.put(key, value, lease))], [words.step("range", words.one(key))]))

    async def delete(self, key: bytes) -> bool:
        """Removes it; says whether it was there."""
        return int((await self._gateway.call("/v3/kv/deleterange", words.one(key))).get("deleted", 0)) > 0

    async def delete_if(self, key: bytes, *, mod_revision: int) -> Written:
        """Removes it if it was last written at ``mod_revision``."""
        return words.written(await self.txn(
            [words.unchanged(key, mod_revision)],
            [words.step("delete_range", words.one(key))], [words.step("range", words.one(key))]))

    async def txn(self, conditions: Sequence[Words], then: Sequence[Words], otherwise: Sequence[Words] = (), *,
                  timeout_s: float | None = None) -> Words:
        """A transaction in the words of ``etcd_words``; the gateway's own answer."""
        return await self._gateway.call("/v3/kv/txn", words.txn(conditions, then, otherwise), timeout_s=timeout_s)

    async def close(self) -> None:
        """Closes the connections; sessions are closed before."""
        await self._gateway.close()
        await self._watches.close()
