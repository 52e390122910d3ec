# SPDX-License-Identifier: Apache-2.0
"""Which node serves a slot: a fixed one, the master that Sentinels name, or the owner in a cluster.

A route asks its questions through a generator, so that the same few lines serve asyncio and plain threads::

    asking = route.find(slot)
    question = next(asking)                  # ask question.endpoint question.command
    question = asking.send(reply)            # or asking.throw(ServerError)
    …StopIteration.value is the endpoint

State is replaced whole and never changed in place: the heartbeat's thread and the event loop share a route.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..errors import ServerError, ServerUnreachable
from .endpoint import Access, Endpoint
from .slots import SLOTS


@dataclass(frozen=True, slots=True)
class Question:
    """One command for one server, as the user that ``access`` says."""

    endpoint: Endpoint
    access: Access
    command: tuple[bytes | str, ...]


Search = Generator[Question, Any, Endpoint]


class Route(Protocol):
    """The way to the master of a slot."""

    access: Access
    #: Whether a second look may find another server: then a refused connection is worth a second try.
    moves: bool

    def known(self, slot: int) -> Endpoint | None:
        """The endpoint found last, unless it was forgotten since."""
        ...

    def find(self, slot: int) -> Search:
        """Finds out anew."""
        ...

    def moved(self, slot: int, endpoint: Endpoint) -> None:
        """A server said that ``endpoint`` serves ``slot`` now."""
        ...

    def forget(self) -> None:
        """What is known may be out of date: find out again at the next call."""
        ...


class Fixed:
    """One server, whatever the slot."""

    moves = False

    def __init__(self, access: Access, endpoint: Endpoint) -> None:
        self.access = access
        self.endpoint = endpoint

    def known(self, slot: int) -> Endpoint | None:
        return self.endpoint

    def find(self, slot: int) -> Search:
        yield from ()
        return self.endpoint

    def moved(self, slot: int, endpoint: Endpoint) -> None:
        """A single server does not redirect."""

    def forget(self) -> None:
        """There is nothing else to find."""


class BySentinel:
    """The master of ``service`` as the first Sentinel that answers knows it."""

    moves = True

    def __init__(self, access: Access, sentinels: Sequence[Endpoint], sentinel_access: Access, service: str) -> None:
        self.access = access
        self.sentinels = tuple(sentinels)
        self.sentinel_access = sentinel_access
        self.service = service
        self._master: Endpoint | None = None

    def known(self, slot: int) -> Endpoint | None:
        return self._master

    def find(self, slot: int) -> Search:
        command = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.service)
        causes: list[str] = []
        for sentinel in self.sentinels:
            try:
                reply = yield Question(sentinel, self.sentinel_access, command)
            except ServerError as error:
                causes.append(f"{sentinel}: {error}")
                continue
            if reply:
                self._master = Endpoint(reply[0].decode(), int(reply[1]))
                return self._master
            causes.append(f"{sentinel}: knows no service {self.service!r}")
        raise ServerUnreachable(f"no Sentinel names a master of {self.service!r}: " + "; ".join(causes))

    def moved(self, slot: int, endpoint: Endpoint) -> None:
        """Masters under Sentinels do not redirect."""

    def forget(self) -> None:
        self._master = None


class ByCluster:
    """The owner of the slot as any node of the cluster knows it. ``remap`` translates addresses behind a NAT."""

    moves = True

    def __init__(
        self,
        access: Access,
        seeds: Sequence[Endpoint],
        remap: Callable[[tuple[str, int]], tuple[str, int]] | None = None,
    ) -> None:
        self.access = access
        self.seeds = tuple(seeds)
        self._remap = remap
        self._owners: tuple[Endpoint | None, ...] = (None,) * SLOTS
        self._fresh = False

    def known(self, slot: int) -> Endpoint | None:
        return self._owners[slot] if self._fresh else None

    def masters(self) -> tuple[Endpoint, ...]:
        """Every node known to own a slot."""
        return tuple(dict.fromkeys(e for e in self._owners if e is not None))

    def find(self, slot: int) -> Search:
        causes: list[str] = []
        for node in dict.fromkeys((*self.masters(), *self.seeds)):
            try:
                reply = yield Question(node, self.access, ("CLUSTER", "SLOTS"))
            except ServerError as error:
                causes.append(f"{node}: {error}")
                continue
            self._owners = owners(reply, node, self._remap)
            self._fresh = True
            endpoint = self._owners[slot]
            if endpoint is not None:
                return endpoint
            causes.append(f"{node}: nobody serves slot {slot}")
        raise ServerUnreachable(f"no node of the cluster tells who serves slot {slot}: " + "; ".join(causes))

    def moved(self, slot: int, endpoint: Endpoint) -> None:
        host, port = self._remap((endpoint.host, endpoint.port)) if self._remap else (endpoint.host, endpoint.port)
        self._owners = (*self._owners[:slot], Endpoint(host, port), *self._owners[slot + 1 :])

    def forget(self) -> None:
        self._fresh = False


def owners(
    reply: Sequence[Any], asked: Endpoint, remap: Callable[[tuple[str, int]], tuple[str, int]] | None = None
) -> tuple[Endpoint | None, ...]:
    """The reply to ``CLUSTER SLOTS`` as one master a slot. A node that does not know its host is the one asked."""
    found: list[Endpoint | None] = [None] * SLOTS
    for first, last, master, *_ in reply:
        host = (master[0] or b"").decode()
        address = (asked.host if host in ("", "?") else host, int(master[1]))
        endpoint = Endpoint(*(remap(address) if remap else address))
        found[first : last + 1] = [endpoint] * (last + 1 - first)
    return tuple(found)
