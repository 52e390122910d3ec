# SPDX-License-Identifier: Apache-2.0
"""Examines a server: what it is, what it can do, and what its settings mean in lost messages.

Asks and never changes anything. What a managed server hides is reported as unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .._base.clock import Clock, SystemClock
from ..errors import ServerError
from .abilities import ServerAbilities, parse_info, probe
from .acl import acl_line
from .findings import Facts, Finding, Level, judge, rights
from .link import Link
from .rights import missing_rights
from .server import Server
from .slots import slot_of

_RANK: dict[Level, int] = {"ok": 0, "unknown": 1, "warn": 2, "bad": 3}
_SETTINGS = ("appendonly", "appendfsync", "save", "maxmemory", "maxmemory-policy", "min-replicas-to-write")


@dataclass(frozen=True, slots=True)
class NodeReport:
    """One master. ``where`` is its address."""

    where: str
    abilities: ServerAbilities
    findings: tuple[Finding, ...]

    def as_dict(self) -> dict[str, Any]:
        """The fields by name."""
        return {
            "where": self.where,
            "abilities": self.abilities.as_dict(),
            "findings": [finding.as_dict() for finding in self.findings],
        }


@dataclass(frozen=True, slots=True)
class Report:
    """The whole back end: one node, or every master of a cluster."""

    kind: str
    url: str
    nodes: tuple[NodeReport, ...]
    acl: str

    @property
    def worst(self) -> Level:
        """The gravest level found anywhere."""
        levels = [finding.level for node in self.nodes for finding in node.findings]
        return max(levels, key=_RANK.__getitem__)

    def as_dict(self) -> dict[str, Any]:
        """The report as ``holdfast doctor --json`` prints it."""
        return {
            "kind": self.kind,
            "url": self.url,
            "worst": self.worst,
            "nodes": [node.as_dict() for node in self.nodes],
            "acl": self.acl,
        }


async def examine(server: Server, clock: Clock | None = None, *, streams: tuple[str, ...] = ()) -> Report:
    """Examines every master of ``server``. ``streams`` are the names that the printed ACL line permits.

    Raises ServerUnreachable and NotAuthorized only when not even a connection comes about.
    """
    nodes = []
    for tag, link in (await server.masters()).items():
        nodes.append(await _node(link, tag, server, clock or SystemClock(), streams))
        await link.close()
    line = acl_line(streams, prefix=server.prefix) if streams else acl_line(prefix=server.prefix)
    return Report(server.kind, server.url, tuple(nodes), line)


async def _node(link: Link, tag: bytes, server: Server, clock: Clock, streams: tuple[str, ...]) -> NodeReport:
    scratch = b"%s:{%s}:probe" % (server.prefix.encode(), tag)
    abilities = await probe(link, scratch)
    here = [s for s in streams if not server.clustered or slot_of(s.encode()) == slot_of(tag)]
    info, replicas = await link.pipeline([("INFO",), ("WAIT", 0, 0)])
    facts = Facts(
        info=parse_info(info),
        config=await _config(link),
        replicas=replicas if isinstance(replicas, int) else None,
        clock_ms=await _clock_ms(link, clock),
        sentinel=server.kind == "sentinel",
    )
    return NodeReport(link.endpoint, abilities, (*judge(facts), rights(await missing_rights(link, scratch, here))))


async def _config(link: Link) -> dict[str, str]:
    """One question a setting: some providers show some of them, and before 7.0 only one can be asked for at a time."""
    answers = await link.pipeline([("CONFIG", "GET", name) for name in _SETTINGS])
    pairs = [answer for answer in answers if isinstance(answer, list) and len(answer) == 2]
    return {name.decode(): value.decode() for name, value in pairs}


async def _clock_ms(link: Link, clock: Clock) -> float | None:
    """Server time minus ours, taken at the middle of the shortest of three round trips."""
    best: tuple[float, float] | None = None
    for _ in range(3):
        before, wall = clock.now(), clock.wall_ms()
        try:
            seconds, micros = await link.call("TIME")
        except ServerError:
            return None
        trip_ms = (clock.now() - before) * 1000
        offset = int(seconds) * 1000 + int(micros) / 1000 - (wall + trip_ms / 2)
        best = min(best, (trip_ms, offset)) if best else (trip_ms, offset)
    return best[1] if best else None
