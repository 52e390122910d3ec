# SPDX-License-Identifier: Apache-2.0
"""Keeps a member's snapshot: hears of changes, writes twice a second, and tells the clocks at a start."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

from ..._base.chance import Chance
from ...errors import BadPacket, ConfigurationError
from ..defence.drawing import across
from ..defence.subnets import neighbourhood
from ..messages import Address
from .address import host_and_port, packed, text
from .shell import Shell
from .snapshot import Clocks, Snapshot
from .view import Change, MemberView

#: Between two writes.
WRITE_S: Final = 0.5


class Before(NamedTuple):
    """Of before the restart. anchors: where they were, by name. others: ``host:port`` of whom to enter by else, at
    random, by turns of their networks."""

    anchors: Mapping[str, Address]
    others: Sequence[str]


NOTHING: Final = Before(MappingProxyType({}), ())


class Remembering:
    """One member's."""

    def __init__(self, path: Path, shell: Shell, chance: Chance) -> None:
        self._snapshot, self._shell, self._chance = Snapshot(path), shell, chance
        self._peering = shell.guarding.peering if shell.guarding is not None else None

    @property
    def failures(self) -> int:
        """Writes that failed."""
        return self._snapshot.failures

    def begin(self, *, rejoin_after_leave: bool) -> Before:
        """Takes the clocks up where they were; gives the members to enter by. Raises ConfigurationError."""
        found = self._snapshot.load()
        self._shell.counts["snapshot_lines_damaged"] += found.damaged
        layer = self._shell.layer
        if layer is not None:
            try:
                for clock, time in zip((layer.clock, layer.event_clock, layer.query_clock), found.clocks, strict=True):
                    clock.witness(max(0, time))
            except BadPacket:
                self._shell.counts["snapshot_lines_damaged"] += 1
            else:  # what was heard before is not heard again
                layer.events.begins = max(layer.events.begins, found.clocks[1])
                layer.queries.begins = max(layer.queries.begins, found.clocks[2])
        if found.left and not rejoin_after_leave:
            return NOTHING
        for places in (found.members, found.anchors):
            places.pop(self._shell.name, None)
        for name, where in found.members.items():  # until it is known better
            self._snapshot.there(name, where)
        self._snapshot.anchors(found.anchors)
        most = self._peering.anchors_max if self._peering is not None else 0
        known = ((name, address) for name, where in found.anchors.items() if (address := _address(where)) is not None)
        anchors = dict(itertools.islice(known, most))  # guard: a file costs a start few time-outs
        first = set(map(text, anchors.values()))
        others = across([where for _, where in sorted(found.members.items()) if where not in first], _network,
                        self._chance)  # guard: many names of one network are few of those to enter by
        return Before(anchors, others)

    def changed(self, change: Change) -> None:
        """A member's state is another one."""
        member = change.member
        if member.name == self._shell.name:
            return
        if member.status == "alive" and change.what != "forgotten":
            self._snapshot.there(member.name, _where(member))
        elif member.status in ("left", "failed") or change.what == "forgotten":
            self._snapshot.gone(member.name)

    async def run(self) -> None:
        """Writes what is new, until it is cancelled."""
        while True:
            await asyncio.sleep(WRITE_S)
            await self._write()

    async def close(self, *, left: bool) -> None:
        """The last write. left: this member left as it should."""
        if left:
            await asyncio.to_thread(self._snapshot.write, self._snapshot.left())
        else:
            await self._write()

    def _at(self, name: str) -> Address | None:
        member = self._shell.core.member(name)
        return member.address if member is not None else None

    async def _write(self) -> None:
        shell, layer = self._shell, self._shell.layer
        if layer is not None:
            self._snapshot.clocks(_clocks(layer.clock.time, layer.event_clock.time, layer.query_clock.time))
        if self._peering is not None and self._peering.began and shell.guarding is not None:
            self._snapshot.anchors({name: text(address) for name, address in self._peering.anchors(
                self._at, shell.guarding.now).items()})
        pending = self._snapshot.pending()
        if pending is not None:
            await asyncio.to_thread(self._snapshot.write, pending)


def _clocks(*times: int) -> Clocks:
    intents, events, queries = times
    return intents, events, queries


def _address(where: str) -> Address | None:
    try:
        host, port = host_and_port(where)
        return packed(host), port
    except (ValueError, ConfigurationError):  # the file was changed by hand
        return None


def _network(where: str) -> str:
    address = _address(where)
    return where if address is None else neighbourhood(address[0])


def _where(member: MemberView) -> str:
    return f"[{member.addr}]:{member.port}" if ":" in member.addr else f"{member.addr}:{member.port}"
