# SPDX-License-Identifier: Apache-2.0
"""A session on etcd: a lease, renewed every third of its ttl on a connection of its own, and keys that go with it.

::

    session = await open_session(etcd, ttl_s=10)
    written = await session.create(b"locks/a/1", b"an id nobody else has")
    ...
    await session.give_back(b"locks/a/1", b"an id nobody else has")
    await session.close()                                # revokes the lease: whatever is left of it goes at once

An answer that is lost on the way is asked for again, with the same words. That is exact because a key that is there
with our lease and our value was made by us. What is left is the key of somebody who has stopped asking: a request that
lies in a queue can come true after it was taken back. So taking back leaves a mark that goes with the lease, and a
creation asks that there be none.

etcd promises at least the ttl, never at most: a new leader, or a restart, gives every lease its full time again
(https://etcd.io/docs/v3.4/learning/why/#notes-on-the-usage-of-lock-and-lease speaks of what that means for locks).
"""

from __future__ import annotations

import asyncio
import hashlib
import math
from typing import TYPE_CHECKING

from ..errors import LeaseLost, ServerRefused, ServerUnreachable
from . import etcd_words as words
from .etcd import Etcd
from .etcd_words import Words, Written
from .tenure import AGAIN_S, Tenure, keep

if TYPE_CHECKING:
    from .._base.clock import Instant
    from .gateway import Gateway

#: Under here lie the marks of creations that were taken back.
REFUSED = b"holdfast/refused/"
_GRANT, _KEEP, _REVOKE = "/v3/lease/grant", "/v3/lease/keepalive", "/v3/lease/revoke"


async def open_session(etcd: Etcd, ttl_s: float, *, refused: bytes = REFUSED) -> EtcdSession:
    """Asks for a lease and keeps it. A lease whose answer was lost holds nothing, and runs out by itself.

    ttl_s: whole seconds, rounded up; the server raises what is below its least (1 to 2 s), and what it says counts.
    refused: where marks lie; our user has to be allowed to write there.
    """
    way = etcd.own_way()
    try:
        sent_at = etcd.clock.now()
        granted = await way.call(_GRANT, {"TTL": str(math.ceil(ttl_s)), "ID": "0"})
    except BaseException:
        await way.close()
        raise
    return EtcdSession(etcd, way, granted, sent_at, refused)


class EtcdSession(Tenure):
    """Fulfils ``Session``. Made by ``open_session``; lease: its id."""

    def __init__(self, etcd: Etcd, way: Gateway, granted: Words, sent_at: Instant, refused: bytes) -> None:
        super().__init__(etcd.name, float(granted["TTL"]), etcd.clock, sent_at)
        self.lease = int(granted["ID"])
        self._etcd, self._way, self._refused = etcd, way, refused
        self._keeping = asyncio.create_task(keep(self, self._renew))

    async def _renew(self, timeout_s: float) -> float | None:
        answer = await self._way.call(_KEEP, {"ID": str(self.lease)}, timeout_s=timeout_s)
        return float(answer["TTL"]) if "TTL" in answer else None  # guard: a lease that is gone has no time

    async def create(self, key: bytes, value: bytes) -> Written:
        """Makes the key, to go with this session, if it is not there; its ``revision`` is a token that only grows.

        value: nobody else's, ever (an acquisition's id). Asked until it is answered or the session is lost; when the
        caller stops waiting, what may have been done is taken back. Raises LeaseLost.
        """
        doubt = False
        try:
            while True:
                self.check()
                try:
                    written = await self._created(key, value)
                except ServerUnreachable as error:
                    doubt |= error.maybe_done
                    await asyncio.sleep(AGAIN_S)
                else:
                    self.check()  # guard: granted to a session that has ended meanwhile is not granted
                    return written
        except BaseException as error:
            if (doubt or isinstance(error, asyncio.CancelledError)) and not self.over:
                self.errand(self._taken_back(key, value))  # guard: it may be there, and nobody would know
            raise

    async def _created(self, key: bytes, value: bytes) -> Written:
        try:
            answer = await self._etcd.txn(
                [words.absent(key), words.absent(self._mark(key, value))],
                [words.step("put", words.put(key, value, self.lease))], [words.step("range", words.one(key))],
                timeout_s=self._patience_s)
        except ServerRefused as error:
            if error.code != "NOT_FOUND":
                raise
            self.lose("server")
            raise LeaseLost(f"the session on {self.name} was lost: {error}") from error
        written = words.written(answer)
        there = written.current
        if there is not None and (there.lease, there.value) == (self.lease, value):  # guard: asked again, it is ours
            return Written(done=True, revision=there.create_revision)
        return written

    async def give_back(self, key: bytes, value: bytes) -> bool:
        """Removes the key if it is ours. Asked until it is answered; False when it was not there, or the session is
        lost and the key goes by itself."""
        return await self._removed(key, value, [])

    async def _taken_back(self, key: bytes, value: bytes) -> None:
        # guard: what lies in a queue somewhere must not come true any more
        await self._removed(key, value, [words.step("put", words.put(self._mark(key, value), b"", self.lease))])

    async def _removed(self, key: bytes, value: bytes, mark: list[Words]) -> bool:
        delete = words.step("delete_range", words.one(key))
        while not self.over:
            try:
                answer = await self._etcd.txn(words.is_ours(key, value, self.lease), [delete, *mark], mark,
                                              timeout_s=self._patience_s)
                return bool(answer.get("succeeded"))
            except ServerUnreachable:
                await asyncio.sleep(AGAIN_S)
            except ServerRefused:
                break  # the lease is gone, and the key with it
        return False

    @property
    def _patience_s(self) -> float:
        """Longest wait for one answer: there is time for a second question within a ttl."""
        return self.ttl_s / 3

    def _mark(self, key: bytes, value: bytes) -> bytes:
        name = hashlib.sha256(len(key).to_bytes(4) + key + value).hexdigest()
        return self._refused + f"{self.lease:x}/{name}".encode()

    async def gone(self, key: bytes, create_revision: int = 0) -> None:
        """As ``Etcd.gone``; raises LeaseLost when the session ends before the key does."""
        await self.unless_lost(self._etcd.gone(key, create_revision))

    async def close(self) -> None:
        """Revokes the lease: its keys go at once, or within a ttl when the server cannot be reached. Errors are not
        raised: there is nothing a caller could do that time does not do."""
        self.lose("closed")
        self._keeping.cancel()
        await self.end_errands()
        await asyncio.gather(self._keeping, return_exceptions=True)
        try:
            await self._way.call(_REVOKE, {"ID": str(self.lease)})
        except (ServerUnreachable, ServerRefused) as error:
            self._etcd.trouble.warn(f"a lease of {self.name} was left to run out", error)
        finally:
            await self._way.close()
