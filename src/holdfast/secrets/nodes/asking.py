# SPDX-License-Identifier: Apache-2.0
"""Asks all nodes at once, each with a time-out of its own, and goes on as soon as enough have answered."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Final

import msgspec

from ..._base.clock import Clock
from ..._base.points import reached
from ...errors import SecretsDamaged
from .circle import RESHARE, Circle, Holder
from .keys import Identity, seal, verify
from .ledger import Receipt
from .words import (
    BYTES_MAX,
    CIRCLE,
    REQUEST,
    Accept,
    Activate,
    Adopt,
    Ask,
    Prepare,
    Reply,
    Request,
    Retire,
    pack,
    unpack,
)

#: Of each request to a node.
TIMEOUT_S: Final = 2.0


class Moved(Exception):
    """There is a newer circle, and the caller knows it now: ask again."""


class Asking:
    """A caller's way to the nodes. Safe to be used from several threads. timeout_s: for each node; a longer one waits
    longer for nodes that hang, a shorter one counts slow nodes as gone. counted: told when another number of nodes
    answers than before; it may be called in any thread."""

    def __init__(self, circle: Circle, caller: str, identity: Identity, clock: Clock, entropy: Callable[[int], bytes],
                 *, timeout_s: float = TIMEOUT_S, counted: Callable[[], None] = lambda: None) -> None:
        self.circle = circle.checked()
        self.caller: Final = caller
        self.identity: Final = identity
        self.entropy: Final = entropy
        self._clock, self._timeout_s = clock, timeout_s
        self._lock = threading.Lock()
        self._idle: dict[str, list[http.client.HTTPConnection]] = {}
        self._receipts: dict[str, Receipt] = {}
        self._down: set[str] = set()
        self._counted = counted
        self._pool = ThreadPoolExecutor(max_workers=max(4, 3 * circle.n), thread_name_prefix="shares")
        self._closed = False

    def all(self, ask: Ask | Mapping[str, Ask], enough: Callable[[dict[str, Reply]], bool] = lambda _: False,
            circle: Circle | None = None) -> dict[str, Reply]:
        """Every node's answer, by its name: as soon as ``enough`` says so of what has come, or when all have come, or
        failed. One that does not answer has the error ``down``. Raises Moved."""
        circle = circle or self.circle
        asks = ask if isinstance(ask, Mapping) else {holder.name: ask for holder in circle.holders}
        waiting: dict[Future[Reply], str] = {
            self._pool.submit(self._one, holder, asks[holder.name], circle): holder.name
            for holder in circle.holders if holder.name in asks}
        replies: dict[str, Reply] = {}
        while waiting and not enough(replies):
            done, _ = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                replies[waiting.pop(future)] = future.result()
        if circle.epoch == self.circle.epoch:
            self._follow(replies)
        return replies

    @property
    def answering(self) -> int:
        """Nodes of the circle that answered when they were last asked, also those that nobody waited for; who was never
        asked counts."""
        with self._lock:
            return sum(holder.name not in self._down for holder in self.circle.holders)

    def close(self) -> None:
        """Ends the connections."""
        with self._lock:
            self._closed = True
            idle = [one for some in self._idle.values() for one in some]
            self._idle.clear()
        self._pool.shutdown()
        for connection in idle:
            connection.close()

    def _follow(self, replies: Mapping[str, Reply]) -> None:
        for reply in replies.values():
            new = reply.circle
            if reply.error != "moved" or new is None or new.id != self.circle.id or new.epoch != self.circle.epoch + 1:
                continue
            maker = next((one for one in self.circle.callers if one.name == new.signed_by), None)
            if maker and self.circle.may(maker.name, RESHARE, "") and verify(maker.sign_key, new.signature, CIRCLE,
                                                                              new.bare()):
                self.circle = new.checked()
                raise Moved

    def _one(self, holder: Holder, ask: Ask, circle: Circle) -> Reply:
        _mark(ask)
        reply = self._replied(holder, ask, circle)
        with self._lock:
            was = len(self._down)
            (self._down.add if reply.error == "down" else self._down.discard)(holder.name)
            is_another = was != len(self._down) and not self._closed
        if is_another:
            self._counted()
        return reply

    def _replied(self, holder: Holder, ask: Ask, circle: Circle) -> Reply:
        with self._lock:
            seen = tuple(one for node, one in self._receipts.items() if node != holder.name)
        bare = Request(circle.id, circle.epoch, self.caller, holder.name, self._clock.wall_ms(), ask, seen)
        try:
            return self._sent(holder, bare)
        except SecretsDamaged as error:
            return Reply("damaged", str(error))
        except (OSError, http.client.HTTPException, ValueError) as error:
            return Reply("down", f"does not answer ({type(error).__name__})")

    def _sent(self, holder: Holder, bare: Request) -> Reply:
        # The box's first bytes are signed with the request, and so the ephemeral key is drawn here.
        drawn = self.entropy(32)
        start = Identity.public_of(drawn)
        signature = self.identity.sign(REQUEST, bare.bare(start))
        request = pack(msgspec.structs.replace(bare, signature=signature))
        box, back = seal(request, holder.box_key, REQUEST, lambda _: drawn)
        status, body = self._posted(holder, box)
        if status != 200:
            return Reply("denied", "it does not know this caller, or its clock differs") if status == 403 else \
                Reply("down", f"answers {status}")
        reply = unpack(back.open(body), Reply)
        if reply.receipt is not None and reply.receipt.node == holder.name:
            with self._lock:
                known = self._receipts.get(holder.name)
                if known is None or known.number <= reply.receipt.number:
                    self._receipts[holder.name] = reply.receipt
        return reply

    def _posted(self, holder: Holder, box: bytes) -> tuple[int, bytes]:
        with self._lock:
            idle = self._idle.setdefault(holder.address, [])
            connection = idle.pop() if idle else None
        fresh = connection is None
        if connection is None:
            host, _, port = holder.address.rpartition(":")
            connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=self._timeout_s)
        try:
            connection.request("POST", "/", box)
            answer = connection.getresponse()
            body = answer.read(BYTES_MAX)
        except BaseException as error:
            connection.close()
            if not fresh and isinstance(error, ConnectionError | http.client.BadStatusLine):
                return self._posted(holder, box)  # the node was started anew: its old connections are gone
            raise
        with self._lock:
            if not self._closed and not answer.will_close:
                self._idle.setdefault(holder.address, []).append(connection)
                return answer.status, body
        connection.close()
        return answer.status, body


def _mark(ask: Ask) -> None:
    if isinstance(ask, Prepare):
        reached("secrets.shares.prepare.before")
    elif isinstance(ask, Accept):
        reached("secrets.shares.accept.before")
    elif isinstance(ask, Adopt):
        reached("secrets.shares.adopt.before")
    elif isinstance(ask, Retire):
        reached("secrets.shares.retire.before")
    elif isinstance(ask, Activate):
        reached("secrets.shares.activate.before")
