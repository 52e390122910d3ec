# SPDX-License-Identifier: Apache-2.0
"""Dead letters that no service takes in: the console does, so that what lies on the shelves is to be seen.

It writes what the service would write, a case in the state ``new``, and leaves one that is there as it is; so a service
that comes later finds it and judges it. Where a service of the usual name is at work on a shelf, it is left to that.

It goes on when somebody looks: from the last letter that was seen, in pages, for at most ``WAIT_S`` of whoever waits;
the rest follows meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from .._redis.keys import GroupKeys
from ..deadletters.desk import Actor, Case, Desk
from ..deadletters.desk.rounds import tries_of
from ..deadletters.letters import letter_info
from ..deadletters.service import DESK_GROUP, Wanted, Whose
from ..deadletters.service.cases import case_of
from ..deadletters.service.groups import there
from ..errors import ServerUnreachable

if TYPE_CHECKING:
    from .._redis.server import Server
    from .console import Console

_log = logging.getLogger(__name__)

#: Letters in one step.
PAGE: Final = 200
#: How long somebody who looks waits for it, and how often new shelves are looked for, in seconds.
WAIT_S, LOOK_S = 1.0, 10.0
#: A shelf that was read to its end is looked at again after so long, in seconds.
AGAIN_S: Final = 1.0
ACTOR: Final = Actor("console")


class TakingIn:
    """The intake of one console."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shelves: list[Whose] = []
        self._looked_s = self._ended_s = -1e9
        #: By shelf: the last entry that was taken in.
        self._seen: dict[Whose, bytes] = {}
        self._going: asyncio.Task[None] | None = None

    async def soon(self) -> None:
        """Takes in what is new, or begins to. Whatever is away, whoever looks sees what there is."""
        clock = self._console.clock
        if self._going is None or self._going.done():
            if clock.now() - self._ended_s < AGAIN_S:
                return
            self._going = self._console.spawn(self._go())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WAIT_S):
                await asyncio.shield(self._going)

    async def _go(self) -> None:
        try:
            desk, server = await self._console.desk(), await self._console.server()
            for whose in await self._there(server):
                if not await served(server, whose.stream, whose.group):  # guard: a service's letters are the service's
                    await self._shelf(desk, server, whose)
        except Exception as error:  # noqa: BLE001 - whoever looks is shown what there is, whatever is wrong with the rest
            _log.warning("dead letters are not taken in for the moment: %s", type(error).__name__)
        finally:
            self._ended_s = self._console.clock.now()

    async def _there(self, server: Server) -> list[Whose]:
        now = self._console.clock.now()
        if now - self._looked_s >= LOOK_S:
            self._shelves = await there(server, Wanted(), DESK_GROUP)
            self._looked_s = now
        return self._shelves

    async def _shelf(self, desk: Desk, server: Server, whose: Whose) -> None:
        keys = GroupKeys(server.prefix, whose.stream, whose.group)
        link, prefix = server.shared(keys.stream.encode()), self._console.settings.letter_prefix
        while True:
            after = b"(" + self._seen[whose] if whose in self._seen else b"-"
            rows = await link.call("XRANGE", keys.dead, after, "+", "COUNT", PAGE)
            await self._take_in(desk, [
                case_of(letter_info(whose.stream, whose.group, entry, fields, prefix), whose.logical)
                for entry, fields in rows])
            if rows:
                self._seen[whose] = rows[-1][0]
            if len(rows) < PAGE:
                return

    async def _take_in(self, desk: Desk, cases: Sequence[Case]) -> None:
        if not cases:
            return
        tries = await tries_of(desk, [case.parent for case in cases if case.parent])
        try:
            await desk.take_in([msgspec.structs.replace(case, tries=tries.get(case.parent, 0))
                                for case in cases], ACTOR)
        except ServerUnreachable:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a database says to one letter, the others go on
            if len(cases) == 1:
                _log.warning("letter %s cannot be taken in: %s", cases[0].letter_id, type(error).__name__)
                return
            for case in cases:
                await self._take_in(desk, [case])


async def served(server: Server, stream: str, group: str) -> bool:
    """Does a service live that takes this group's letters in, and looks what becomes of replays?"""
    dead = GroupKeys(server.prefix, stream, group).dead.decode()
    keys = GroupKeys(server.prefix, dead, DESK_GROUP)
    link = server.shared(dead.encode())
    return bool(await link.call("ZCOUNT", keys.leases, await link.time_ms(), "+inf"))
