# SPDX-License-Identifier: Apache-2.0
"""Worker ids on etcd: a key a worker id, changed by comparing and setting, and keys that go with our lease.

::

    with WorkerId(EtcdWorkers(["http://etcd1:2379", "http://etcd2:2379"], pool="orders")) as worker:
        ids = Generator(layout_called("snowflake"), worker)

What lies there: ``{prefix}{pool}/record/{worker id}``, which stays, and ``{prefix}{pool}/alive/{hold}``, which goes
with the lease. A write of a record is one transaction: the record is as it was read, and the mark of the hold is there
with our lease. A claim reads the pool, some 200 bytes a worker id, and writes twice; a renewal writes once.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from ..._coord import etcd_words as words
from ..._coord.etcd import Etcd
from ..._coord.etcd_session import EtcdSession, open_session
from ...errors import LeaseLost
from ..clockless import from_bytes, to_bytes
from ..sessions import Seen, SessionWorkers, Store, Stored

if TYPE_CHECKING:
    from ..._coord.etcd_words import KeyValue
    from ..._coord.tenure import Tenure
    from ..windows import Record

PREFIX = "holdfast/ids/"


class EtcdWorkers(SessionWorkers):
    """Fulfils ``Scheme``.

    endpoints: ``http://host:2379`` or ``https://…``. ttl_s: whole seconds, rounded up; the server raises what is below
    its least, and what it says counts. prefix: of the keys. timeout_s: longest wait for one answer. verify, user: see
    ``Gateway``; the user has to be allowed to read and write under ``prefix`` and ``holdfast/refused/``. The rest: see
    ``SessionWorkers``.

    Raises MissingExtra without httpx2, ConfigurationError without endpoints.
    """

    name = "etcd"

    def __init__(self, endpoints: Sequence[str], *, pool: str = "default", workers: int = 1024, ttl_s: float = 30.0,
                 behind_s: float = 30.0, prefix: str = PREFIX, timeout_s: float = 2.0,
                 verify: ssl.SSLContext | None = None, user: tuple[str, str] | None = None, **rest: Any) -> None:
        super().__init__(pool=pool, workers=workers, ttl_s=ttl_s, behind_s=behind_s, **rest)
        self.folder = f"{prefix}{part(pool)}/"
        self.identity = f"etcd {','.join(endpoints)} {self.folder}"
        self.etcd = Etcd(endpoints, clock=self.clock, timeout_s=timeout_s, verify=verify, user=user)

    async def _open(self) -> Store:
        return EtcdStore(self.etcd, await open_session(self.etcd, self.ttl_s), self.folder)

    async def close(self) -> None:
        """Ends the session and the connections."""
        if self._stores.ours:
            await super().close()
            await self.etcd.close()


def part(name: str) -> str:
    """A name as a part of a key: no slash."""
    return quote(name, safe="", errors="surrogatepass")


class EtcdStore:
    """Fulfils ``Store``. folder: with what the keys of the pool begin."""

    def __init__(self, etcd: Etcd, session: EtcdSession, folder: str) -> None:
        self._etcd, self._session, self._folder = etcd, session, folder
        self.session: Tenure = session
        self.tag = f"{session.lease:x}"

    async def look(self) -> Seen:
        """See ``Store``. In one question, so all as of one moment."""
        found = await self._etcd.among(self._folder.encode())
        skip = len(self._folder.encode())
        by_key = {each.key[skip:].decode(errors="replace").partition("/")[::2]: each for each in found}
        return Seen({int(name): self._stored(int(name), each) for (kind, name), each in by_key.items()
                     if kind == "record" and name.isdecimal()},
                    frozenset(unquote(name) for kind, name in by_key if kind == "alive"))

    async def read(self, worker: int) -> Stored | None:
        """See ``Store``."""
        found = await self._etcd.get(self._record(worker))
        return None if found is None else self._stored(worker, found)

    async def write(self, record: Record, before: Stored | None, hold: str) -> Stored | None:
        """See ``Store``."""
        key = self._record(record.worker)
        written = words.written(await self._etcd.txn(
            [words.unchanged(key, before.version if before is not None else 0),  # guard: as it was read
             *words.is_ours(self._mark(hold), hold.encode(), self._session.lease)],  # guard: a session that lives
            [words.step("put", words.put(key, to_bytes(record)))], [words.step("range", words.one(key))]))
        return Stored(record, written.revision) if written.done else None

    async def put_mark(self, hold: str) -> None:
        """See ``Store``."""
        if not (await self._session.create(self._mark(hold), hold.encode())).done:
            raise LeaseLost(f"{self._mark(hold)!r} is there, and not ours")

    async def remove_mark(self, hold: str) -> None:
        """See ``Store``."""
        await self._session.give_back(self._mark(hold), hold.encode())

    async def close(self) -> None:
        """See ``Store``."""
        await self._session.close()

    def _record(self, worker: int) -> bytes:
        return f"{self._folder}record/{worker}".encode()

    def _mark(self, hold: str) -> bytes:
        return f"{self._folder}alive/{part(hold)}".encode()

    def _stored(self, worker: int, found: KeyValue) -> Stored:
        return Stored(from_bytes(worker, found.value, f"{self._folder}record/{worker} of {self._etcd.name}"),
                      found.mod_revision)
