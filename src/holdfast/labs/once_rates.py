# SPDX-License-Identifier: Apache-2.0
"""What a scheme costs: a stream is filled, one consumer in this process works it off for a while, and what that took is
read from both sides.

The clock starts at the first handler call, so that connections and group set-up do not count, and ends when the stream
is empty or its time is up; as many messages count as are acknowledged and gone by then. Rounds take all schemes in
turn, each round beginning with another, and medians are reported: what else the machine does hits everybody alike.

The server's counters are those of everybody who talks to it. What goes on without us is measured first and taken off;
where it is more than a tenth of what we cause, nothing is said about commands and round trips.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .._redis.abilities import parse_info
from .._redis.keys import GroupKeys
from ..errors import HoldfastError, ServerError
from ..streams.entry import Outgoing
from .cells import Cell
from .multi_exec import record_key
from .once_schemes import GROUP, Scheme, World, order

if TYPE_CHECKING:
    from .._base.chance import Chance
    from .._redis.link import Link
    from .._redis.server import Server
    from ..app import Holdfast
    from .once_books import Books
    from .place import Place

#: Seconds for which the server is watched while we do nothing, and the part of our own load that others may make up.
IDLE_S = 0.3
NOISE_MAX = 0.1
#: Seconds until a consumer has its first message, and between two looks at what is left.
PATIENCE_S = 30.0
_LOOK_S = 0.01
_CHUNK = 500
#: With fewer messages than this between two looks a figure a message would be mostly rounding.
ENOUGH = 20
#: Rows of an inbox below which its size is mostly half-empty pages.
ENOUGH_ROWS = 300
#: Keys of records that are weighed, where there is one a message.
_WEIGHED = 50


@dataclass(frozen=True, slots=True)
class Load:
    """What a server has carried out, and how often it has read from a connection. None: it does not say."""

    commands: float | None
    reads: float | None

    def since(self, before: Load) -> Load:
        """The difference."""
        return Load(_minus(self.commands, before.commands), _minus(self.reads, before.reads))


def _minus(after: float | None, before: float | None) -> float | None:
    return None if after is None or before is None else after - before


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One round of one scheme: messages a second, and what one message took. None: not measured.

    commands: carried out by the server, those inside scripts included. statements: of SQL, ends of transactions
    included.
    """

    per_s: float
    cpu_us: float | None = None
    commands: float | None = None
    round_trips: float | None = None
    statements: float | None = None
    kept_bytes: float | None = None


def net(load: float | None, own: int, noise_per_s: float | None, seconds: float) -> float | None:
    """What a scheme caused: without our own looks and without what others do. None where that cannot be told apart."""
    if load is None or noise_per_s is None:
        return None
    others = noise_per_s * seconds
    caused = load - own - others
    return caused if caused > 0 and others <= NOISE_MAX * caused else None  # guard: others' load is not ours


@dataclass(kw_only=True)
class Rates:
    """Measures all schemes. ``n``: messages at most, ``box_s``: seconds at most, of one round of one scheme."""

    hf: Holdfast
    server: Server
    place: Place
    books: Books | None
    schemes: Sequence[Scheme]
    chance: Chance
    n: int
    box_s: float
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    #: What others do to the server, a second.
    noise: Load = Load(None, None)
    _links: list[Link] = field(default_factory=list)

    async def measure(self, rounds: int, done: Callable[[], None]) -> list[Cell]:
        """All rounds; their cells. ``done`` is called after each scheme of each."""
        self._links = list((await self.server.masters()).values())
        self.noise = await self._idle()
        try:
            for number in range(rounds):
                for scheme in _in_turn(self.schemes, number):
                    self.samples.setdefault(scheme.name, []).append(await self._sample(scheme, number))
                    done()
        finally:
            for link in self._links:
                await link.close()
        return self._cells()

    # -- one round of one scheme ------------------------------------------------------------------------------------

    async def _sample(self, scheme: Scheme, number: int) -> Sample:
        stream = self.place.stream(f"rate-{number}-{scheme.name}")
        ids = [f"rate-{number}-{i}" for i in range(self.n)]
        await self._fill(scheme, stream, ids)
        inbox = await self._inbox_bytes(scheme)
        async with self.place.holdfast() as hf:
            world = World(hf=hf, server=await hf.open(), place=self.place, chance=self.chance, books=self.books)
            scheme.declare(world, stream)
            running = asyncio.create_task(hf.run(drain_s=2.0))
            try:
                sample = await self._watch(world, running, stream)
            finally:
                hf.stop()
                await asyncio.gather(running, return_exceptions=True)
                await world.close()
        handled = self.n - await self._left(stream)
        kept = await self._kept_bytes(scheme, stream, ids, inbox)
        few = handled < (ENOUGH_ROWS if scheme.needs_sql else ENOUGH)
        return sample if kept is None or few else _with_bytes(sample, kept / handled)

    async def _fill(self, scheme: Scheme, stream: str, ids: Sequence[str]) -> None:
        if scheme.name == "state-machine" and self.books is not None:
            await self.books.take_orders(ids)
        for at in range(0, len(ids), _CHUNK):
            await self.hf.publish_many(stream, [Outgoing(value=order(one), id=one) for one in ids[at:at + _CHUNK]])

    async def _watch(self, world: World, running: asyncio.Task[None], stream: str) -> Sample:
        """From the first handler call until the stream is empty, or the time is up."""
        await _first_call(world, running)
        began, cpu_s = time.monotonic(), time.process_time()
        counting = None if world.books is None else world.books.count_statements()
        try:
            before, at_first = await self._load(), await self._left(stream)
            left, looks = at_first, 0
            while left and not running.done() and time.monotonic() - began < self._patience_s(self.n - left):
                await asyncio.sleep(_LOOK_S)
                left, looks = await self._left(stream), looks + 1
            seconds = time.monotonic() - began
            cpu_s = time.process_time() - cpu_s
            after = (await self._load()).since(before)
        finally:
            statements = None if counting is None else counting.stop()
        own = looks + 1
        commands = net(after.commands, own + len(self._links), self.noise.commands, seconds)
        reads = net(after.reads, own + len(self._links), self.noise.reads, seconds)
        seen = at_first - left
        return Sample(
            per_s=(self.n - left) / seconds, cpu_us=_each(cpu_s * 1e6, self.n - left),
            commands=_each(commands, seen), round_trips=_each(reads, seen),
            statements=_each(statements or None, self.n - left))

    def _patience_s(self, handled: int) -> float:
        """How long to look. Longer than the box where so little came through that it would say nothing."""
        return self.box_s if handled >= ENOUGH else 20 * self.box_s

    async def _left(self, stream: str) -> int:
        return int(await self.server.shared(stream.encode()).call("XLEN", stream))

    # -- the server's side ------------------------------------------------------------------------------------------

    async def _load(self) -> Load:
        found = [await _stats(link) for link in self._links]
        return Load(*(_sum(one.get(name) for one in found)
                      for name in ("total_commands_processed", "total_reads_processed")))

    async def _idle(self) -> Load:
        """What goes on without us, a second. The looks themselves are taken off."""
        before = await self._load()
        await asyncio.sleep(IDLE_S)
        found, own = (await self._load()).since(before), len(self._links)
        return Load(*(None if value is None else max(0.0, value - own) / IDLE_S
                      for value in (found.commands, found.reads)))

    async def _kept_bytes(self, scheme: Scheme, stream: str, ids: Sequence[str], inbox: int | None) -> float | None:
        """What all messages of a round leave behind as records. None where it cannot be weighed."""
        if scheme.needs_sql:
            now = await self._inbox_bytes(scheme)
            return None if now is None or inbox is None else now - inbox
        keys, link = GroupKeys(self.place.own, stream, GROUP), self.server.shared(stream.encode())
        try:
            if scheme.name == "multi-exec":
                weighed = await _weighed(link, [record_key(keys, one) for one in ids[:_WEIGHED]])
                return None if not weighed else statistics.mean(weighed) * (len(ids) - await self._left(stream))
            return sum(await _weighed(link, [keys.done, keys.half_done, keys.results, keys.begun]))
        except ServerError:
            return None

    async def _inbox_bytes(self, scheme: Scheme) -> int | None:
        if self.books is None or scheme.name not in ("sql", "sql-batches"):
            return None
        return await self.books.inbox_bytes()

    # -- cells ------------------------------------------------------------------------------------------------------

    def _cells(self) -> list[Cell]:
        per_s = {name: statistics.median(s.per_s for s in found) for name, found in self.samples.items()}
        base = per_s.get("at-least-once")
        cells = [Cell(scheme=name, scenario="throughput", metric="messages_per_s", value=round(rate, 1),
                      unit="1/s") for name, rate in per_s.items()]
        if base:
            cells += [Cell(scheme=name, scenario="throughput", metric="ratio", value=round(rate / base, 3),
                           unit="× at-least-once") for name, rate in per_s.items()]
        for scenario, metric, unit, of in _COLUMNS:
            for name, found in self.samples.items():
                values = [value for one in found if (value := of(one)) is not None]
                if values:
                    cells.append(Cell(scheme=name, scenario=scenario, metric=metric, unit=unit,
                                      value=round(statistics.median(values), 2)))
        return cells


_COLUMNS: tuple[tuple[str, str, str, Callable[[Sample], float | None]], ...] = (
    ("cost", "server_commands", "per message", lambda s: s.commands),
    ("cost", "round_trips", "per message", lambda s: s.round_trips),
    ("cost", "sql_statements", "per message", lambda s: s.statements),
    ("cost", "client_cpu_us", "per message", lambda s: s.cpu_us),
    ("storage", "record_bytes", "per message kept", lambda s: s.kept_bytes),
)


def _in_turn(schemes: Sequence[Scheme], number: int) -> Sequence[Scheme]:
    """The order of a round: rotated by one each time."""
    at = number % len(schemes)
    return [*schemes[at:], *schemes[:at]]


def _each(value: float | None, count: int) -> float | None:
    return None if value is None or count < ENOUGH else value / count


def _with_bytes(sample: Sample, kept_bytes: float) -> Sample:
    return Sample(per_s=sample.per_s, cpu_us=sample.cpu_us, commands=sample.commands, round_trips=sample.round_trips,
                  statements=sample.statements, kept_bytes=kept_bytes)


def _sum(values: Iterable[float | None]) -> float | None:
    found = list(values)
    return None if not found or None in found else sum(v for v in found if v is not None)


async def _stats(link: Link) -> dict[str, float]:
    try:
        told = parse_info(await link.call("INFO", "stats"))
    except ServerError:
        return {}
    return {name: float(told[name]) for name in ("total_commands_processed", "total_reads_processed") if name in told}


async def _weighed(link: Link, keys: Sequence[bytes]) -> list[int]:
    """Bytes of each key that is there. Raises what the server refuses."""
    found = []
    for answer in await link.pipeline([("MEMORY", "USAGE", key, "SAMPLES", 0) for key in keys]):
        if isinstance(answer, ServerError):
            raise answer
        if answer is not None:
            found.append(int(answer))
    return found


async def _first_call(world: World, running: asyncio.Task[None]) -> None:
    """Returns at the first handler call. Raises what ended the consumer instead."""
    waiting = asyncio.create_task(world.started.wait())
    try:
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.wait([waiting, running], return_when=asyncio.FIRST_COMPLETED)
    except TimeoutError:
        raise HoldfastError(f"no message arrived within {PATIENCE_S:g} s") from None
    finally:
        waiting.cancel()
    if running.done():
        running.result()
        raise HoldfastError("the consumer ended before its first message")
