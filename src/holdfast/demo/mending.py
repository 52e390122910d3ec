# SPDX-License-Identifier: Apache-2.0
"""After the books: the dead-letter service at work on the lines that died, and a worker for what it sends back.

One kind of planted line is a good one in another charset. A rule says which charset that is, and the service mends it,
keeps the original by its hash, and sends the message back to its group, where the worker applies it. Everything else
is no span however it is read: it waits for a person.

The service runs in this process, the worker is one of the crew's. Both stay until the end, so that whoever edits a
letter in the console and sends it back sees it applied.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Self

from .._base.events import Events
from ..deadletters.desk import Desk, Filter, State
from ..deadletters.desk.log import Chosen, steps
from ..deadletters.handling import Rules
from ..deadletters.repairs import Repairs
from ..deadletters.service import Service, ServiceSettings, Wanted
from .ledger import open_database, reckon
from .report import Mended

if TYPE_CHECKING:
    from .._redis.server import Server
    from .crew import Crew
    from .play import Plan
    from .report import Report

#: The name of the rule that mends, and the charset that it knows of.
RULE, CHARSET = "latin-1", "latin-1"
RULES = f"""\
[[rules]]
name = "{RULE}"
match = {{reason = "decode_error", message = "^not UTF-8"}}
category = "permanent"
action = "repair"
repairs = [{{name = "encoding", charset = "{CHARSET}"}}]

[[rules]]
name = "no-span"
match = {{reason = ["decode_error", "schema_invalid"]}}
category = "permanent"
severity = "warning"
action = "manual"
"""
#: Seconds between two looks, and for all of it; one more for so many letters.
LOOK_S, PATIENCE_S, LETTERS_A_SECOND_MIN = 0.1, 60.0, 50
#: More steps than a desk of the demo's has.
_ALL = 10_000_000
#: Cases on which something is still to be done by itself.
_UNDER_WAY: tuple[State, ...] = ("new", "classified", "scheduled", "working", "replaying", "replayed")


def rules_in(folder: Path) -> Rules:
    """The demo's rules, in a file of its folder. Raises MissingExtra, before anything is begun."""
    path = folder / "rules.toml"
    path.write_text(RULES)
    return Rules(path, Events(), check=Repairs().check)


class Mending:
    """The service, its desk and its worker, for as long as the block lasts."""

    def __init__(self, plan: Plan, server: Server, crew: Crew, rules: Rules) -> None:
        self._plan, self._server, self._crew, self._rules = plan, server, crew, rules
        self.desk_url = f"sqlite:///{plan.folder / 'desk.db'}"
        self._desk = Desk(self.desk_url)

    async def __aenter__(self) -> Self:
        await self._desk.open()
        self._crew.hire()
        self._service = Service(
            self._server, self._desk, Wanted((self._plan.stream,), (self._plan.group,)), self._rules,
            mender=Repairs(), name="demo",
            settings=ServiceSettings(poll_s=0.1, look_s=0.5, check_s=0.2, lease_ms=2_000, sweep_ms=500, block_ms=500))
        self._running = asyncio.create_task(self._service.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._service.stop()
        await self._running
        await self._desk.close()

    async def done(self, report: Report) -> Mended:
        """What came of it, once nothing is to be done by itself any more."""
        until = time.monotonic() + PATIENCE_S + report.dead / LETTERS_A_SECOND_MIN
        while not await self._settled(report.dead) and time.monotonic() < until:
            self._crew.check()
            await asyncio.sleep(LOOK_S)
        repaired = await steps(self._desk, Chosen(what="repaired"), limit=_ALL)
        waiting = await self._desk.count(Filter(states=("manual",)))
        with closing(open_database(self._plan.sql)) as connection:
            # guard: what a rule has mended is counted by the ledger, as everything else
            plain, books = (reckon(self._plan.log.path, connection, charset) for charset in ("", CHARSET))
        return Mended(planted=books.good - plain.good, repaired=len({step.letter_id for step in repaired}),
                      applied=books.applied - plain.applied, lost=books.lost,
                      applied_twice=books.applied_twice + books.stray, waiting=waiting)

    async def _settled(self, dead: int) -> bool:
        taken_in = await self._desk.count(Filter())
        return taken_in >= dead and not await self._desk.count(Filter(states=_UNDER_WAY))
