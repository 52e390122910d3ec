# SPDX-License-Identifier: Apache-2.0
"""The families of ids that are compared, each opened as its user would, and two schemes that cheat."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import msgspec

from .._redis.keys import DEFAULT_PREFIX
from .._redis.lines import Lines
from .._redis.open import open_server
from ..ids.counters import Dated, OneByOne, Segments, Sizes
from ..ids.counters.floors import FileFloor
from ..ids.counters.redis import RedisCounter
from ..ids.generator import Generator
from ..ids.layout import LAYOUTS
from ..ids.schemes.redis import RedisWorkers
from ..ids.term import Held, Maker, Window
from ..ids.uuids import Uuid4, Uuid7
from ..ids.worker import WorkerId
from .ids_count import LONG, SHORT

#: What gives this thread's next id; and what gives a thread such a thing.
Draw = Callable[[], int]
Drawing = Callable[[], Draw]
Order = Literal["none", "thread", "process", "all"]
TAG = "orders"
ANSWER_S = 2.0
#: Of the counters of a run: with more numbers than this there is no repeat that a restart alone explains.
RESERVE = 10_000


class At(msgspec.Struct, frozen=True, kw_only=True):
    """Where a run takes place. url: None is the embedded server of ``data_dir``. folder: of the floors. sql, service:
    empty where there is none. token: of the tables. sizes: of the first segments. window_s: of worker ids. wait_s:
    longest wait of whoever finds both segments used up, or nothing in hand."""

    url: str | None
    data_dir: str | None = None
    prefix: str = DEFAULT_PREFIX
    folder: str
    sql: str = ""
    token: str = ""
    service: str = ""
    sizes: int = 1_000
    window_s: float = 10.0
    wait_s: float = 10.0


@dataclass(frozen=True)
class Family:
    """One way to make ids. open: for one process, the ``part``-th of all. needs: the field of ``At`` that it lives on;
    empty: nothing. bits: that its ids are given, without a sign. order: among which calls a later one promises to have
    the larger id. most_per_s: what the layout has for one worker id; a burst is ahead of the time for a second. cheats:
    has to be caught."""

    name: str
    title: str
    open: Callable[[At, int], AbstractContextManager[Drawing]]
    needs: str = ""
    bits: int = 63
    order: Order = "none"
    most_per_s: int | None = None
    cheats: bool = False

    @property
    def width(self) -> int:
        """Bytes of an id as it is written down."""
        return SHORT if self.bits < 64 else LONG


# -- time and a worker id ---------------------------------------------------------------------------------------------


@contextmanager
def _generator(at: At, _: int, *, layout: str, draw: Callable[[Generator], Draw]) -> Iterator[Drawing]:
    made = LAYOUTS[layout]
    scheme = RedisWorkers(at.url, pool=f"lab-{layout}", workers=made.workers, prefix=at.prefix, data_dir=_folder(at))
    with WorkerId(scheme, window_s=at.window_s) as worker:
        ids = Generator(made, worker)
        yield lambda: draw(ids)


class Everybodys:
    """Fulfils ``Term`` as a process id in a container does, or one ``WORKER_ID`` in a Deployment's template: everybody
    has the same worker id, and nothing says until when."""

    cause = ""
    held = Held(1, Window(0, 1 << 60))

    def made_by(self, maker: Maker) -> None:
        """Nobody asks."""

    def now_ms(self) -> float:
        """This machine's clock."""
        return time.time() * 1000


@contextmanager
def _shared_worker(_: At, __: int) -> Iterator[Drawing]:
    ids = Generator(LAYOUTS["snowflake"], Everybodys())
    yield ids.bound


# -- chance -----------------------------------------------------------------------------------------------------------


@contextmanager
def _uuid(_: At, __: int, *, made: type[Uuid4 | Uuid7]) -> Iterator[Drawing]:
    ids = made()
    yield lambda: ids.next_id


# -- counters ---------------------------------------------------------------------------------------------------------


def _tables(at: At, part: int = 0) -> Any:
    from .ids_tables import tables_of

    return tables_of(at.token, part)


@contextmanager
def _sql_auto(at: At, _: int) -> Iterator[Drawing]:
    from ..ids.counters.tickets import SqlTickets

    with _one_by_one(SqlTickets(at.sql, tables=_tables(at))) as drawing:
        yield drawing


@contextmanager
def _sql_step(at: At, part: int) -> Iterator[Drawing]:
    from ..ids.counters.tickets import SqlTickets
    from .ids_tables import SETS

    mine = part % SETS
    with _one_by_one(SqlTickets(at.sql, part=mine, parts=SETS, tables=_tables(at, mine)), "steps") as drawing:
        yield drawing


@contextmanager
def _sql_segments(at: At, _: int) -> Iterator[Drawing]:
    from ..ids.counters.sql import SqlSegments

    with _segments(at, SqlSegments(at.sql, tables=_tables(at))) as drawing:
        yield drawing


def _counter(at: At, name: str, **how: Any) -> RedisCounter:
    """With a floor: it goes on behind what was given even when its server comes back with nothing."""
    return RedisCounter(at.url, floor=FileFloor(Path(at.folder) / f"floor-{name}"), reserve=RESERVE, prefix=at.prefix,
                        data_dir=_folder(at), **how)


@contextmanager
def _redis_incr(at: At, _: int) -> Iterator[Drawing]:
    with _one_by_one(_counter(at, "incr"), "incr") as drawing:
        yield drawing


@contextmanager
def _redis_segments(at: At, _: int) -> Iterator[Drawing]:
    with _segments(at, _counter(at, "segments"), "segments") as drawing:
        yield drawing


@contextmanager
def _redis_dated(at: At, _: int) -> Iterator[Drawing]:
    with _one_by_one(_counter(at, "dated", dated=Dated("day")), "dated") as drawing:
        yield drawing


@contextmanager
def _one_by_one(store: Any, tag: str = TAG) -> Iterator[Drawing]:
    with ExitStack() as stack:
        stack.callback(store.close)
        ids = stack.enter_context(OneByOne(store, tag))
        yield lambda: ids.next_id


@contextmanager
def _segments(at: At, store: Any, tag: str = TAG) -> Iterator[Drawing]:
    with ExitStack() as stack:
        stack.callback(store.close)
        ids = stack.enter_context(Segments(store, tag, Sizes(minimum=at.sizes), wait_s=at.wait_s))
        yield lambda: ids.next_id


@contextmanager
def _incr_bare(at: At, _: int) -> Iterator[Drawing]:
    """``INCR``, as everybody writes it."""
    key = f"{at.prefix}:{{incr-bare}}".encode()
    lines = Lines(lambda: open_server(at.url, prefix=at.prefix, data_dir=_folder(at)), timeout_s=ANSWER_S)

    def draw() -> int:
        with lines.line(key) as link:
            return int(link.call("INCR", key))

    try:
        yield lambda: draw
    finally:
        lines.close()


# -- a service --------------------------------------------------------------------------------------------------------


@contextmanager
def _service(at: At, _: int) -> Iterator[Drawing]:
    from ..ids.remote import RemoteIds

    with RemoteIds(at.service, TAG, wait_s=at.wait_s, ahead_s=1.0, least=at.sizes) as ids:
        yield lambda: ids.next_id


def _folder(at: At) -> Path | None:
    return None if at.data_dir is None else Path(at.data_dir)


def _snowflake(layout: str, draw: Callable[[Generator], Draw]) -> Callable[[At, int], AbstractContextManager[Drawing]]:
    return partial(_generator, layout=layout, draw=draw)


def _most(layout: str) -> int:
    return LAYOUTS[layout].sequences * 1000 // LAYOUTS[layout].unit_ms


#: By name, in the order of the tables. A worker id comes from Redis here: ``lab workers`` compares where from else.
FAMILIES: dict[str, Family] = {family.name: family for family in (
    Family("snowflake", "41 bits of ms, 10 of worker, 12 of sequence: next_id()",
           _snowflake("snowflake", lambda ids: ids.next_id), "url", order="thread", most_per_s=_most("snowflake")),
    Family("snowflake-bound", "the same by bound()", _snowflake("snowflake", lambda ids: ids.bound()), "url",
           order="thread", most_per_s=_most("snowflake")),
    Family("snowflake-strict", "the same by strict_id()", _snowflake("snowflake", lambda ids: ids.strict_id), "url",
           order="process", most_per_s=_most("snowflake")),
    Family("javascript", "53 bits: 41 of ms, 3 of worker, 9 of sequence",
           _snowflake("javascript", lambda ids: ids.bound()), "url", bits=53, order="thread",
           most_per_s=_most("javascript")),
    Family("uuid4", "122 bits of chance", partial(_uuid, made=Uuid4), bits=128),
    Family("uuid7", "ms, a counter and chance", partial(_uuid, made=Uuid7), bits=128, order="process"),
    Family("sql-auto", "a row an id", _sql_auto, "sql", order="all"),
    Family("sql-step", "a row an id in steps of two, by two sets of tables", _sql_step, "sql", order="process"),
    Family("sql-segments", "numbers of a row, by the thousand", _sql_segments, "sql", order="thread"),
    Family("redis-incr", "a counter on Redis, one by one, with a floor", _redis_incr, "url", bits=53, order="all"),
    Family("redis-segments", "the same by the thousand", _redis_segments, "url", bits=53, order="thread"),
    Family("redis-dated", "one by one, numbers that begin with the day", _redis_dated, "url", bits=53, order="all"),
    Family("service", "snowflakes of the id service, prefetched over HTTP", _service, "service"),
    Family("shared-worker", "snowflakes of processes that all have worker id 1", _shared_worker, cheats=True),
    Family("incr-bare", "INCR and nothing besides", _incr_bare, "url", cheats=True),
)}


def present(at: At) -> list[Family]:
    """Those that have what they live on. url None is the embedded server, which is there."""
    return [family for family in FAMILIES.values() if not family.needs or family.needs == "url"
            or getattr(at, family.needs)]
