# SPDX-License-Identifier: Apache-2.0
"""What a gossip agent answers over its RPC: the paths, what they want and what they give.

::

    GET   /live  /ready  /metrics  /v1/members  /v1/inspect  /v1/keys/rotation
    POST  /v1/join  /v1/leave  /v1/event  /v1/query  /v1/rtt  /v1/revoke
          /v1/keys/list  …/install  …/use  …/remove  …/rotate

Payloads are Base64, because they are bytes. Answers about keys hold the keys themselves, as those of Serf do.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from ..errors import ConfigurationError, GossipError, KeyRefused
from .gossip_http import Route
from .gossip_native import native_routes
from .health import Page, Readiness, live, ready

if TYPE_CHECKING:
    from ..gossip.agent import Cluster, KeyChange
    from ..gossip.keys.rotation_run import RotationRun, RotationView

#: No query is waited for longer, whatever is asked for.
WAIT_S_MAX: Final = 600.0
#: A rotation that has not begun by then has not heard from anybody, itself included.
BEGIN_S: Final = 30.0
#: A key is called by its id, which has so many digits, or given in Base64, which is longer.
ID_DIGITS: Final = 8


class Wanted(msgspec.Struct, forbid_unknown_fields=True):
    """A request without anything to say."""


class Join(Wanted, forbid_unknown_fields=True):
    """addresses: ``HOST:PORT`` of members."""

    addresses: list[str]


class Leave(Wanted, forbid_unknown_fields=True):
    """node: a failed member that is to count as one that left; empty: the agent itself. prune: and be forgotten."""

    node: str = ""
    prune: bool = False


class Tell(Wanted, forbid_unknown_fields=True):
    """A user event. payload: Base64."""

    name: str
    payload: str = ""
    coalesce: bool = True


class Query(Wanted, forbid_unknown_fields=True):
    """A query. payload: Base64. nodes, tags: whom it is for; tags: names and expressions."""

    name: str
    payload: str = ""
    nodes: list[str] = []
    tags: dict[str, str] = {}
    ack: bool = False
    relay_factor: int = 0
    timeout_s: float | None = None


class Rtt(Wanted, forbid_unknown_fields=True):
    """Between two members; b empty: the agent itself."""

    a: str
    b: str = ""


class KeyWanted(Wanted, forbid_unknown_fields=True):
    """key: in Base64, or its id. timeout_s: None for one by the cluster's size."""

    key: str = ""
    timeout_s: float | None = None


class Rotate(Wanted, forbid_unknown_fields=True):
    """action: begin, stop (before `use` the new key is taken back, after it all keys stay), or go on."""

    action: Literal["begin", "stop", "go on"] = "begin"


class Revoke(Wanted, forbid_unknown_fields=True):
    """node: who is expelled, for good."""

    node: str
    reason: str = ""


def routes(agent: Agent, metrics: Callable[[], tuple[str, str]] | None) -> dict[tuple[str, str], Route]:
    """All of them."""
    found = {
        ("GET", "/live"): Route(lambda _: live(), open=True),
        ("GET", "/ready"): Route(lambda _: ready(agent.readiness()), open=True),
        ("GET", "/v1/members"): Route(agent.members),
        ("GET", "/v1/inspect"): Route(agent.inspect),
        ("POST", "/v1/join"): Route(agent.join, Join),
        ("POST", "/v1/leave"): Route(agent.leave, Leave),
        ("POST", "/v1/event"): Route(agent.event, Tell),
        ("POST", "/v1/query"): Route(agent.query, Query),
        ("POST", "/v1/rtt"): Route(agent.rtt, Rtt),
        ("POST", "/v1/revoke"): Route(agent.revoke, Revoke),
    }
    found |= {("POST", f"/v1/keys/{step}"): Route(agent.step(step), KeyWanted)
              for step in ("list", "install", "use", "remove")}
    found |= native_routes(agent.there)
    found["GET", "/v1/keys/rotation"] = Route(agent.rotating)
    found["POST", "/v1/keys/rotate"] = Route(agent.rotate, Rotate)
    if metrics is not None:
        found["GET", "/metrics"] = Route(lambda _: Page(200, *metrics()), open=True)
    return found


class Agent:
    """A cluster's member, as it answers. stop: ends the process, gracefully."""

    def __init__(self, stop: Callable[[], object]) -> None:
        self.cluster: Cluster | None = None
        self.rotation: RotationRun | None = None
        self.stopping = False
        self._stop = stop

    def there(self) -> Cluster:
        """The member, once it has joined. Raises GossipError."""
        if self.cluster is None or self.stopping:
            raise GossipError("the agent is leaving" if self.stopping else "the agent has not joined its cluster yet")
        return self.cluster

    def readiness(self) -> Readiness:
        """Ready while it is a member."""
        try:
            self.there()
        except GossipError as error:
            return Readiness(ready=False, why=[str(error)])
        return Readiness(ready=True)

    def members(self, _: object) -> list[dict[str, Any]]:
        """All that are known, by name."""
        return [{"name": one.name, "addr": one.addr, "port": one.port, "status": one.status, "tags": dict(one.tags),
                 "suspected": one.suspected} for one in self.there().members()]

    def inspect(self, _: object) -> Any:
        """What is going on."""
        return msgspec.to_builtins(self.there().inspect(), enc_hook=str)

    async def join(self, wanted: Join) -> dict[str, int]:
        """Enters the clusters of whoever answers."""
        return {"joined": await self.there().join(wanted.addresses)}

    async def leave(self, wanted: Leave) -> dict[str, str]:
        """A member that failed counts as left; or this agent leaves and ends."""
        cluster = self.there()
        if wanted.node in ("", cluster.name):
            self.stopping = True
            try:
                await cluster.leave()
            finally:
                self._stop()
            return {"left": cluster.name}
        await cluster.force_leave(wanted.node, prune=wanted.prune)
        return {"left": wanted.node}

    async def event(self, wanted: Tell) -> dict[str, str]:
        """Tells everybody."""
        await self.there().event(wanted.name, _bytes(wanted.payload), coalesce=wanted.coalesce)
        return {"event": wanted.name}

    async def query(self, wanted: Query) -> dict[str, Any]:
        """Asks, and waits for all answers, or for the end of the query's time."""
        timeout_s = wanted.timeout_s
        if timeout_s is not None and not 0 < timeout_s <= WAIT_S_MAX:
            raise ConfigurationError(f"a query is waited for 0 to {WAIT_S_MAX:g} s, and not {timeout_s:g}")
        question = self.there().query(wanted.name, _bytes(wanted.payload), nodes=wanted.nodes, tags=wanted.tags,
                                     ack=wanted.ack, relay_factor=wanted.relay_factor, timeout_s=timeout_s)
        try:
            answers = [answer async for answer in question]
        finally:
            question.close()
        return {"answers": [{"name": one.node, "payload": base64.b64encode(one.payload).decode()} for one in answers],
                "acks": sorted(question.acks)}

    async def revoke(self, wanted: Revoke) -> dict[str, Any]:
        """Expels a member of a native cluster."""
        return {"revoked": wanted.node, "epoch": await self.there().revoke(wanted.node, reason=wanted.reason)}

    def rtt(self, wanted: Rtt) -> dict[str, Any]:
        """By their coordinates."""
        cluster = self.there()
        return {"a": wanted.a, "b": wanted.b or cluster.name, "rtt_s": cluster.rtt(wanted.a, wanted.b or None)}

    def step(self, step: str) -> Callable[[KeyWanted], Awaitable[dict[str, Any]]]:
        """One step of a key change, or the list."""
        async def change(wanted: KeyWanted) -> dict[str, Any]:
            keys = self.there().keys
            if step == "list":
                return _told(await keys.list(timeout_s=wanted.timeout_s))
            key = wanted.key
            if len(key) == ID_DIGITS:
                key = _called(key, await keys.list(timeout_s=wanted.timeout_s))
            do = {"install": keys.install, "use": keys.use, "remove": keys.remove}[step]
            return _told(await do(key, timeout_s=wanted.timeout_s))

        return change

    @property
    def _rotation(self) -> RotationRun:
        self.there()
        if self.rotation is None:
            raise ConfigurationError("this agent changes no keys by itself: start it with --rotate")
        return self.rotation

    def rotating(self, _: object) -> RotationView:
        """The change of keys under way."""
        return self._rotation.inspect()

    async def rotate(self, wanted: Rotate) -> RotationView:
        """Begins one, stops it, or goes on. Raises KeyRefused."""
        rotation = self._rotation
        phase = rotation.inspect().phase
        if wanted.action == "stop":
            if not phase:
                raise KeyRefused("no change of keys is under way")
            return rotation.abort()
        if wanted.action == "go on":
            if phase != "held":
                raise KeyRefused("no change of keys is held")
            return rotation.go_on()
        async with asyncio.timeout(BEGIN_S):
            said = await rotation.begin()
        if said.what == "refused":
            raise KeyRefused(said.text)
        return rotation.inspect()


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ConfigurationError("a payload is sent in Base64, and this text is none") from None


def _called(id: str, listed: KeyChange) -> str:
    """The key of this id, of those that members hold."""
    from ..gossip.keys import Key

    found = [text for text in listed.keys if Key.from_text(text).id == id]
    if not found:
        raise ConfigurationError(f"no member that answered holds a key {id!r}: `holdfast gossip keys list` shows them")
    return found[0]


def _told(change: KeyChange) -> dict[str, Any]:
    from ..gossip.keys import Key

    return {"complete": change.complete, "members": len(change.members) + len(change.missing),
            "answers": [{"name": name, "ok": one.ok, "message": one.message}
                        for name, one in sorted(change.members.items())],
            "missing": list(change.missing), "keys": dict(change.keys), "primaries": dict(change.primaries),
            "ids": {text: Key.from_text(text).id for text in change.keys}}
