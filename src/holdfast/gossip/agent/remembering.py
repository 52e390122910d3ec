# SPDX-License-Identifier: Apache-2.0
"""Keeps a member's snapshot: hears of changes, writes twice a second, and tells the clocks at a start."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from ..._base.chance import Chance
from ...errors import BadPacket
from .shell import Shell
from .snapshot import Clocks, Snapshot
from .view import Change, MemberView

#: Between two writes.
WRITE_S: Final = 0.5


class Remembering:
    """One member's."""

    def __init__(self, path: Path, shell: Shell, chance: Chance) -> None:
        self._snapshot, self._shell, self._chance = Snapshot(path), shell, chance

    @property
    def failures(self) -> int:
        """Writes that failed."""
        return self._snapshot.failures

    def begin(self, *, rejoin_after_leave: bool) -> list[str]:
        """Takes the clocks up where they were; gives the members to enter by, mixed. Raises ConfigurationError."""
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
            return []
        places = [(self._chance.random(), where) for name, where in sorted(found.members.items())
                  if name != self._shell.name]
        for name, where in found.members.items():  # until it is known better
            if name != self._shell.name:
                self._snapshot.there(name, where)
        return [where for _, where in sorted(places)]

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

    async def _write(self) -> None:
        layer = self._shell.layer
        if layer is not None:
            self._snapshot.clocks(_clocks(layer.clock.time, layer.event_clock.time, layer.query_clock.time))
        pending = self._snapshot.pending()
        if pending is not None:
            await asyncio.to_thread(self._snapshot.write, pending)


def _clocks(*times: int) -> Clocks:
    intents, events, queries = times
    return intents, events, queries


def _where(member: MemberView) -> str:
    return f"[{member.addr}]:{member.port}" if ":" in member.addr else f"{member.addr}:{member.port}"
