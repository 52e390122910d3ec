# SPDX-License-Identifier: Apache-2.0
"""``holdfast demo``: a trace log goes through the streams while workers are killed and frozen; then the books are done.

::

    log ──publish──▶ partitioned stream ──▶ 3 worker processes ──▶ spans, operations, inbox   (one transaction a batch)
                                             ✗ one is killed, and replaced                        │
                                             ‖ one is frozen for three leases                     ▼
    log ───────────────────────────────────────────────────────────────────────────────▶ ledger: lost? twice?

The end is read from the streams' own state: nothing unread, nothing pending. Then the workers are asked to end, and
only when the last of them is gone is anything counted, so that a late commit cannot slip in behind the ledger.

Whoever wants to stay (``holdfast demo --console``) has the dead-letter service let at what died (see ``mending``), and
is handed the stage as long as it stands.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from .._redis.keys import StreamKeys
from ..deadletters.service.settings import DESK_GROUP
from ..errors import MissingExtra
from ..streams.producer import physical
from ..testing.watchdog import watchdog

if TYPE_CHECKING:
    from .._redis.server import Server
    from ..deadletters.handling import Rules
    from .crew import Crew
    from .play import Plan
    from .report import Report, Talk

SPANS = 20_000
PARTITIONS = 6


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What a run leaves standing for whoever stays. url, data_dir: its server. desk: the desk of its dead letters."""

    url: str | None
    data_dir: Path
    desk: str


#: Looks at the stage, and returns when it may be taken down.
Stay = Callable[[Stage], Awaitable[None]]


def main(input_file: Path | None = None, spans: int | None = None, as_json: bool = False, *, url: str | None = None,
         data_dir: Path | None = None, sql: str | None = None, seed: int = 1, partitions: int = PARTITIONS,
         stay: Stay | None = None) -> int:
    """Runs the demo and prints what it found; 0 when the books balance, 1 when they do not.

    input_file: a trace log; None makes one up from ``seed``, of ``spans`` lines (20,000), one in a hundred bad.
    url: a server to use; None starts one in ``data_dir``, or in a temporary folder. sql: an empty SQLite or PostgreSQL
    database; None makes a SQLite file in the temporary folder. What is temporary is gone afterwards. stay: has rules
    let at the dead letters, and is called when all is printed, before anything goes.

    Raises ConfigurationError (the input, the database), MissingExtra, ServerUnreachable, and KeyboardInterrupt at
    Ctrl-C, when all processes are gone.
    """
    try:
        from . import play, report, source
    except ModuleNotFoundError as error:
        raise MissingExtra("sql", "the demo's database") from error
    folder = Path(tempfile.mkdtemp(prefix="holdfast-demo-")).resolve()
    try:
        log = (source.made_up(folder / "generated.jsonl", spans or SPANS, seed) if input_file is None
               else source.given(input_file))
        plan = play.Plan(folder=folder, log=log, url=url, data_dir=(data_dir or folder / "server").absolute(),
                         own_server=url is None and data_dir is None, sql=sql or f"sqlite:///{folder / 'demo.db'}",
                         partitions=partitions, rng=random.Random(seed))
        staying = _staying(stay, folder, as_json=as_json)
        with report.Talk() as talk:
            found = asyncio.run(_perform(plan, talk, staying))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if stay is None:
        report.show(found, as_json=as_json)
    return 0 if found.good else 1


@dataclass(frozen=True)
class _Staying:
    """The part behind the books."""

    stay: Stay
    as_json: bool
    rules: Rules

    async def to_end(self, plan: Plan, server: Server, crew: Crew, talk: Talk, found: Report) -> Report:
        """Lets the rules at what died, prints what it all came to, and stays."""
        from . import report
        from .mending import Mending

        talk.say(f"the books are done; now rules deal with {found.dead:,} dead letters")
        async with Mending(plan, server, crew, self.rules) as mending:
            found = msgspec.structs.replace(found, mended=await mending.done(found))
            talk.end()
            report.show(found, as_json=self.as_json)
            await self.stay(Stage(url=plan.url, data_dir=plan.data_dir, desk=mending.desk_url))
        return found


def _staying(stay: Stay | None, folder: Path, *, as_json: bool) -> _Staying | None:
    if stay is None:
        return None
    from .mending import rules_in

    return _Staying(stay, as_json, rules_in(folder))


async def _perform(plan: Plan, talk: Talk, staying: _Staying | None) -> Report:
    """The play, on a stage that is gone afterwards: processes, server, keys."""
    from ..app import Holdfast
    from .crew import Crew
    from .effects import Effects
    from .play import Play

    effects = Effects(plan.sql)
    effects.prepare()
    paper = plan.folder / "assignment.json"
    paper.write_bytes(msgspec.json.encode(plan.assignment))
    crew = Crew(paper)
    guarded: int | None = None
    try:
        async with Holdfast(plan.url, data_dir=plan.data_dir) as hf:
            server = await hf.open()
            if plan.own_server:
                guarded = await _guard(server, plan.folder)
            try:
                found = await Play(plan, hf, server, crew=crew, effects=effects, talk=talk).to_end()
                if staying is not None:
                    found = await staying.to_end(plan, server, crew, talk, found)
                return found
            finally:
                crew.kill_all()
                if not plan.own_server:
                    await _sweep_up(plan, server)
    finally:
        effects.close()
        if guarded is not None:
            watchdog.release(guarded)


async def _guard(server: Server, folder: Path) -> int:
    """The server we started does not outlive us, whatever ends us. Returns its pid."""
    info = await server.shared(b"hf").call("INFO", "server")
    pid = int(info.split(b"process_id:")[1].split()[0])
    watchdog.guard(pid, folder)
    return pid


async def _sweep_up(plan: Plan, server: Server) -> None:
    """Nothing of ours stays on somebody else's server."""
    for name in (physical(plan.stream, n, plan.partitions) for n in range(plan.partitions)):
        beside = StreamKeys(server.prefix, name)
        # guard: the service's own keys go too, beside the stream that it read
        dead = StreamKeys(server.prefix, beside.group(plan.group).dead.decode())
        owners = (beside, beside.group(plan.group), dead, dead.group(DESK_GROUP))
        keys = [getattr(owner, key) for owner in owners for key, what in vars(type(owner)).items()
                if isinstance(what, property) and key != "base"]
        await server.shared(beside.stream_key).call("DEL", *keys)
