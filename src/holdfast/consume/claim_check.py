# SPDX-License-Identifier: Apache-2.0
"""Claim check: a payload too large for the broker lies in a store, and the message holds its ticket.

::

    claims = ClaimCheck(FileClaims("/var/lib/orders"), over_bytes=100_000)
    await hf.publish("orders", **await claims.check_in(order, id="o-7"))

    @hf.consumer("orders", group="billing", middleware=[claims])
    async def bill(order: Order) -> None: …

The payload is stored before the message is published, and a ticket is its time and the SHA-256 of the payload: what
comes back is checked against it, and a ticket that a stranger wrote leads nowhere but into the store. A payload that is
gone is a dead letter (``rejected``); a store that does not answer is a retry.

**Orphans.** Nobody knows when the last group is done with a payload, and a publisher may die between storing and
publishing. So payloads are removed by age: ``clean`` removes what is older than ``kept_s``, but for tickets that are
named as still in use (``tickets_in`` of the dead letters, for example). kept_s has to be longer than a message can be
on its way: retention of the stream, longest retry, retention of letters. With sealed payloads, seal first and check in
what was sealed: ``check_in(**box.seal(order, id="o-7"))``, and ``middleware=[claims, box]``.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Protocol

from .._base import durable
from .._base.clock import Clock, SystemClock
from .._base.codec import encode, type_version
from .._base.message import HEADER
from ..errors import DecodeError
from .contract import Delivery
from .middleware import Endpoint
from .outcome import Reject
from .sealed import as_published, with_body

__all__ = ["ClaimCheck", "ClaimStore", "FileClaims", "RedisClaims", "tickets_in"]

#: Headers of a message whose payload lies elsewhere: its ticket, and format version and content type of the payload.
H_TICKET: Final = "hf-claim"
H_INSIDE: Final = "hf-claim-inside"
_TICKET: Final = re.compile(r"\d{13}-[0-9a-f]{64}")
_FIELD: Final = HEADER + H_TICKET.encode()


class ClaimStore(Protocol):
    """Where payloads lie. Errors of ``put`` and ``get`` are the store's own; they are retried."""

    async def put(self, ticket: str, payload: bytes) -> None:
        """Returns when it is there for good. The same ticket again is the same payload."""
        ...

    async def get(self, ticket: str) -> bytes | None:
        """None: there is none."""
        ...

    async def remove(self, ticket: str) -> None: ...

    def tickets(self) -> AsyncIterator[str]:
        """All that lie there, in any order."""
        ...


class ClaimCheck:
    """Stores large payloads, and brings them to the handler. over_bytes: smaller ones stay in the message, where they
    cost no second store."""

    def __init__(self, store: ClaimStore, *, over_bytes: int = 100_000, clock: Clock | None = None) -> None:
        self._store, self._over = store, over_bytes
        self._clock = clock or SystemClock()

    async def check_in(self, value: Any, *, id: str | None = None, type: str | None = None,
                       headers: Mapping[str, str] | None = None) -> dict[str, Any]:
        """What to publish instead of ``value``: keyword arguments of ``publish``. Stored when this returns."""
        body, content_type, name = encode(value)
        parts: dict[str, Any] = {"value": value, "id": id, "type": type or name, "headers": headers}
        if len(body) <= self._over:
            return parts
        ticket = f"{self._clock.wall_ms():013d}-{sha256(body).hexdigest()}"
        await self._store.put(ticket, body)  # guard: a message whose payload is not there yet is never published
        inside = f"{type_version(value.__class__)} {content_type}"
        return {**parts, "value": b"", "headers": {**(headers or {}), H_TICKET: ticket, H_INSIDE: inside}}

    async def __call__(self, delivery: Delivery, call_next: Endpoint) -> Any:
        """Middleware: brings the payload to what runs inside."""
        message = delivery.message
        ticket = message.headers.get(H_TICKET)
        if ticket is None:
            return await call_next(delivery)
        if not _TICKET.fullmatch(ticket):  # guard: a stranger's ticket names no file (test_claim_check)
            raise DecodeError(f"message {message.id} has a claim-check ticket that is none")
        payload = await self._store.get(ticket)
        if payload is None:
            return Reject(f"its payload {ticket} is gone from the store", code="payload_missing")
        if sha256(payload).hexdigest() != ticket[14:]:  # guard: what was changed is not handled (test_claim_check)
            raise DecodeError(f"the payload of message {message.id} is not what was stored: its digest differs")
        async with as_published(delivery):
            delivery.message = with_body(message, payload, message.headers.get(H_INSIDE, ""))
            return await call_next(delivery)

    async def clean(self, *, kept_s: float, in_use: Collection[str] = ()) -> int:
        """Removes payloads older than ``kept_s`` that are not in use; answers how many."""
        before_ms, removed = self._clock.wall_ms() - int(kept_s * 1000), 0
        async for ticket in self._store.tickets():
            old = _TICKET.fullmatch(ticket) is not None and int(ticket[:13]) < before_ms
            if old and ticket not in in_use:  # guard: nothing that a letter still needs (test_claim_check)
                await self._store.remove(ticket)
                removed += 1
        return removed


def tickets_in(messages: Iterable[Sequence[bytes]]) -> set[str]:
    """The tickets in flat fields of messages or letters: payloads that are still needed."""
    return {fields[n + 1].decode() for fields in messages for n in range(0, len(fields) - 1, 2) if fields[n] == _FIELD}


class FileClaims:
    """In a folder, a file a payload, written beside and renamed: it is there whole, or not at all."""

    def __init__(self, folder: Path | str) -> None:
        self._folder = Path(folder)

    def _path(self, ticket: str) -> Path:
        return self._folder / ticket[14:16] / ticket

    async def put(self, ticket: str, payload: bytes) -> None:
        await asyncio.to_thread(self._put, self._path(ticket), payload)

    @staticmethod
    def _put(path: Path, payload: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            durable.replace(path, lambda _: payload)

    async def get(self, ticket: str) -> bytes | None:
        with contextlib.suppress(FileNotFoundError):
            return await asyncio.to_thread(self._path(ticket).read_bytes)
        return None

    async def remove(self, ticket: str) -> None:
        await asyncio.to_thread(self._path(ticket).unlink, missing_ok=True)

    async def tickets(self) -> AsyncIterator[str]:
        for name in await asyncio.to_thread(lambda: [p.name for p in self._folder.glob("??/*")]):
            yield name


#: What a pattern of Redis takes for something else.
_GLOB: Final = re.compile(r"[][*?\\^-]")


class RedisClaims:
    """In Redis, a key a payload. client: a ``redis.asyncio`` client; keys begin with ``prefix``."""

    def __init__(self, client: Any, prefix: str = "hf:claim:") -> None:
        self._client, self._prefix = client, prefix

    async def put(self, ticket: str, payload: bytes) -> None:
        await self._client.set(self._prefix + ticket, payload)

    async def get(self, ticket: str) -> bytes | None:
        found: bytes | None = await self._client.get(self._prefix + ticket)
        return found

    async def remove(self, ticket: str) -> None:
        await self._client.delete(self._prefix + ticket)

    async def tickets(self) -> AsyncIterator[str]:
        pattern = _GLOB.sub(r"\\\g<0>", self._prefix) + "*"
        async for key in self._client.scan_iter(match=pattern, count=500):
            yield os.fsdecode(key)[len(self._prefix):]
