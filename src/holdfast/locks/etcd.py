# SPDX-License-Identifier: Apache-2.0
"""Locks on etcd: keys that go with our lease, in the order in which they were made.

::

    locks = EtcdLocks(["http://etcd1:2379", "http://etcd2:2379"])

    async with locks.lock("nightly-report").hold(wait_s=60) as held:
        await store(page, fence=held.fencing_token)      # the revision that made our key: it only grows
    await locks.close()

As etcd's own (``clientv3/concurrency``): each waits for the key that was made before its own. What it adds: our own
key and lease are looked at again in the transaction that finds nobody before us (etcd issue 9921), the local clock
ends what the lease no longer keeps, and the holder is told.

What is written to etcd itself needs no guard elsewhere: ``compare`` is a condition for the writer's transaction, which
holds exactly as long as the key does.

What lies there: ``{prefix}mutex/{name}/x/{acquisition}``, for readers and writers ``{prefix}read-write/{name}/…`` with
``s`` for readers. Nothing stays. A waiter is a watch, and a watch a connection, as HTTP/1.1 has it: up to 500 wait at a
time in one process, the others look every two seconds until one is free.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from .._base.thinned import Thinned
from .._coord import etcd_words as words
from .._coord.etcd import Etcd
from .._coord.etcd_session import EtcdSession, open_session
from ..errors import ServerError
from .in_line import removed
from .line import Displaced, Line, Place, Share
from .sessions import SessionLocks

if TYPE_CHECKING:
    from .._coord.etcd_words import Words
    from .._coord.tenure import Tenure
    from .held import Acquisition
    from .tied import Tied

PREFIX = "holdfast/locks/"
#: Keys looked at in one transaction, of which etcd takes 128 steps.
TOGETHER = 100


class EtcdLocks(SessionLocks):
    """Gives locks by name. One a process and etcd; ``close`` gives back what is still held.

    endpoints: ``http://host:2379`` or ``https://…``. ttl_s: whole seconds, rounded up; the server raises what is below
    its least, and what it says counts. prefix: of the keys. timeout_s: longest wait for one answer. watch_s: who waits
    looks again so often, lest it missed something. verify: for https, the context that knows the certificates, and our
    own where the server asks for one (``ssl.create_default_context(cafile=…)``, ``load_cert_chain``). user: name and
    password; it has to be allowed to read and write under ``prefix`` and ``holdfast/refused/``. The rest: see
    ``SessionLocks``.

    Raises MissingExtra without httpx2, ConfigurationError without endpoints.
    """

    def __init__(self, endpoints: Sequence[str], *, ttl_s: float = 10.0, prefix: str = PREFIX, timeout_s: float = 2.0,
                 watch_s: float = 10.0, verify: ssl.SSLContext | None = None, user: tuple[str, str] | None = None,
                 **rest: Any) -> None:
        super().__init__(ttl_s, **rest)
        self.prefix = prefix
        self.etcd = Etcd(endpoints, clock=self.clock, timeout_s=timeout_s, watch_s=watch_s, verify=verify, user=user)

    async def _open(self) -> Line:
        return EtcdLine(self, await open_session(self.etcd, self.ttl_s))

    async def close(self) -> None:
        """Gives back what is held, ends the session and the connections."""
        if self._lines.ours:
            await super().close()
            await self.etcd.close()

    def folder(self, name: str, line: str = "mutex") -> str:
        """With what the keys of a lock begin."""
        return f"{self.prefix}{line}/{quote(name, safe='', errors='surrogatepass')}/"

    def compare(self, held: Acquisition) -> Words:
        """A condition for a transaction of the writer's own: ``held`` is still held, as etcd sees it.

        In the words of the JSON gateway (``compare`` of ``/v3/kv/txn``); other clients write it as *create revision of*
        ``key`` *equals* ``held.fencing_token``.
        """
        return made_at(self.key_of(held).encode(), held.fencing_token)

    def key_of(self, held: Acquisition) -> str:
        """Where it lies."""
        line = "mutex" if held.kind == "mutex" else "read-write"
        return f"{self.folder(held.name, line)}{'s' if held.kind == 'read' else 'x'}/{held.acquisition}"


def made_at(key: bytes, create_revision: int) -> Words:
    """Condition: the key is the one that was made then."""
    return {**words.one(key), "target": "CREATE", "result": "EQUAL", "create_revision": str(create_revision)}


def last_before(prefix: bytes, revision: int) -> Words:
    """Body of a range: of the keys that begin so and were made before ``revision``, the last."""
    return {**words.under(prefix), "sort_order": "DESCEND", "max_create_revision": str(revision - 1), "limit": "1"}


class EtcdLine:
    """Fulfils ``Line``."""

    def __init__(self, locks: EtcdLocks, session: EtcdSession) -> None:
        self._locks, self._session, self._etcd = locks, session, locks.etcd
        self.session: Tenure = session
        self._minded: dict[Tied, bytes] = {}
        self._minding: asyncio.Task[None] | None = None
        self._trouble = Thinned(locks.clock)

    async def enter(self, name: str, share: Share, acquisition: str, about: bytes) -> Place:
        """See ``Line``. A key that is there with our lease and our value was made by us."""
        key = f"{self._locks.folder(name, share.line)}{'s' if share.shared else 'x'}/{acquisition}"
        made = await self._session.create(key.encode(), about)
        if not made.done:
            raise Displaced(f"{key} is there, and not ours")
        return Place(key, made.revision, share.shared)

    async def before(self, place: Place) -> str | None:
        """See ``Line``. In the transaction that looks, our own key has to be there: so our lease is alive."""
        folder = place.path.rpartition("/")[0].rpartition("/")[0] + "/"
        wanted = last_before((folder + "x/" if place.shared else folder).encode(), place.token)
        answer = await self._etcd.txn([made_at(place.path.encode(), place.token)], [words.step("range", wanted)])
        if not answer.get("succeeded"):  # guard: our own lease may be what has run out
            raise Displaced("the key of this acquisition is gone: its lease ran out, or somebody removed it")
        found = words.key_values(answer["responses"][0].get("response_range", {}))
        return found[0].key.decode() if found else None

    async def gone(self, path: str) -> None:
        """See ``Line``."""
        await self._session.gone(path.encode())

    async def leave(self, place: Place) -> bool:
        """See ``Line``. Written once, so its last write is the one that made it."""
        return (await self._etcd.delete_if(place.path.encode(), mod_revision=place.token)).done

    async def standing(self, folder: str) -> list[tuple[Place, bytes]]:
        """See ``Line``."""
        readers = f"{folder}s/".encode()
        return [(Place(each.key.decode(), each.create_revision, each.key.startswith(readers)), each.value)
                for each in await self._etcd.among(folder.encode())]

    def mind(self, held: Tied, place: Place) -> None:
        """See ``Line``. All that is held is looked at every third of a ttl, a hundred keys in one question."""
        self._minded[held] = place.path.encode()
        held.on_end(lambda: self._minded.pop(held, None))
        if self._minding is None:
            self._minding = asyncio.create_task(self._mind())

    async def _mind(self) -> None:
        while not self._session.over:
            await asyncio.sleep(self._session.ttl_s / 3)
            held = list(self._minded.items())
            try:
                for n in range(0, len(held), TOGETHER):
                    await self._looked(dict(held[n:n + TOGETHER]))
            except ServerError as error:
                self._trouble.warn(f"looking after locks on {self._etcd.name}", error)

    async def _looked(self, some: dict[Tied, bytes]) -> None:
        asked = [words.step("range", {**made, "count_only": True}) for made in map(words.one, some.values())]
        answer = await self._etcd.txn([], asked)
        for held, found in zip(some, answer["responses"], strict=True):
            if not int(found.get("response_range", {}).get("count", 0)) and not self._session.over:
                removed(self._locks, held)

    async def close(self) -> None:
        """See ``Line``."""
        if self._minding is not None:
            self._minding.cancel()
            await asyncio.gather(self._minding, return_exceptions=True)
        await self._session.close()
