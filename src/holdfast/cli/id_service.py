# SPDX-License-Identifier: Apache-2.0
"""The process of ``holdfast id serve``: wired, watched, and ended in good order.

::

    listen ─ claim a worker id … ready: the address is printed ─ SIGTERM: not ready ─ linger ─ answer what is in flight
    ─ give the worker id back ─ 0

A second Ctrl-C ends it at once; the worker id is free then when its window has ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import HoldfastError
from .id_scheme import kept
from .listening import logged, measured_if_installed
from .output import say
from .work import INTERRUPTED

if TYPE_CHECKING:
    from .._base.events import Events
    from ..ids.scheme import Scheme
    from ..ids.service import Desk, Quota, Tag, Tokens

#: Seconds between two looks at whether it is ready: before it was for the first time, and later.
LOOK_FIRST_S, LOOK_S = 0.05, 1.0
#: After so many seconds without ids, the address is said all the same.
PATIENCE_S = 2.0


@dataclass(frozen=True)
class Wanted:
    """What the command line asks for. kinds: tag → snowflake or segment. make: a scheme of a kind, pool and size."""

    host: str
    port: int
    kinds: Mapping[str, str]
    quotas: Mapping[str, Quota]
    client_quotas: Mapping[str, Quota]
    tokens: Tokens | None
    layout: str
    window_s: float
    batch_max: int
    in_flight_max: int
    linger_s: float
    name: str
    scheme: str
    pool: str
    sql: str | None
    make: Callable[[str, str, int], Scheme]


async def serving(wanted: Wanted) -> int:
    """Serves until a signal; answers the exit code. Raises what no waiting would mend."""
    from .._base.events import Events
    from .._base.serving import listen
    from ..ids.service import Desk, Limits, create_app
    from ..ids.service.serving import BACKLOG

    events = Events()
    logged(events)
    metrics = measured_if_installed(events)
    async with contextlib.AsyncExitStack() as stack:
        if "snowflake" in wanted.kinds.values():
            await stack.enter_async_context(kept(wanted.scheme, patient=True))
        sources = Sources(wanted, events)
        stack.push_async_callback(sources.close)
        desk = Desk(sources.tags, events=events,
                    limits=Limits(batch_max=wanted.batch_max, in_flight_max=wanted.in_flight_max))
        app = create_app(desk, tokens=wanted.tokens, metrics=metrics)
        life = Life(desk, wanted.linger_s, sources.claim)
        return await life.run(app, listen(wanted.host, wanted.port, backlog=BACKLOG))


class Sources:
    """What makes the ids of each tag. Snowflake tags share a worker id, and so are apart from each other as well."""

    def __init__(self, wanted: Wanted, events: Events) -> None:
        self._wanted, self._events = wanted, events
        self._claimed: Any = None
        self._ends: list[Callable[[], object]] = []
        self.tags = {name: self._tag(name, kind) for name, kind in wanted.kinds.items()}

    def _tag(self, name: str, kind: str) -> Tag:
        from ..ids.service import Tag

        ids, why_not = self._snowflake() if kind == "snowflake" else self._segment(name)
        return Tag(ids, kind, self._wanted.quotas.get(name), self._wanted.client_quotas.get(name), why_not)

    def _snowflake(self) -> tuple[Any, Callable[[], str]]:
        from ..ids import WorkerId, layout_called
        from ..ids.service import ClaimedIds

        wanted, events = self._wanted, self._events
        if self._claimed is None:
            layout = layout_called(wanted.layout)

            def worker() -> WorkerId:
                return WorkerId(wanted.make(wanted.scheme, wanted.pool, layout.workers), name=wanted.name,
                                window_s=wanted.window_s, events=events)

            self._claimed = ClaimedIds(worker, layout, events=events)
        return self._claimed, self._claimed.why_not

    def _segment(self, name: str) -> tuple[Any, Callable[[], str]]:
        from .. import _sql  # noqa: F401 - names the extra where it is missing
        from ..ids.counters import AsyncSegments
        from ..ids.counters.sql import SqlSegments

        store = SqlSegments(self._wanted.sql or "")
        ids = AsyncSegments(store, name, events=self._events)
        self._ends += [ids.close, store.close]

        def why_not() -> str:
            try:
                ids.supply.attempt(0)  # fetches the first segment
            except HoldfastError as error:
                return str(error)
            return "" if ids.supply.left else "the store has given no segment yet, or both are used up"

        return ids, why_not

    async def claim(self) -> None:
        """Returns when there is a worker id, where one is wanted."""
        if self._claimed is not None:
            await self._claimed.claim()

    async def close(self) -> None:
        """Gives back what can be given back."""
        if self._claimed is not None:
            await self._claimed.close()
        for end in self._ends:
            await asyncio.to_thread(end)


class Life:
    """One service from its start to its orderly end. claim: returns once there is what it needs."""

    def __init__(self, desk: Desk, linger_s: float, claim: Callable[[], Awaitable[None]]) -> None:
        self._desk, self._linger_s, self._claim = desk, linger_s, claim
        self._asked = asyncio.Event()
        self._stop = asyncio.Event()

    async def run(self, app: Any, listening: Any) -> int:
        """Serves until a signal."""
        from .._base.serving import address_of
        from ..ids.service.serving import serve

        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled, number)
        tasks = [asyncio.ensure_future(work) for work in (
            self._claim(), self._watch(address_of(listening)), self._lingering())]
        for task in tasks:
            task.add_done_callback(self._ended)
        try:
            await serve(app, listening, self._stop)
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        for error in ended:
            if isinstance(error, Exception):
                raise error
        return 0

    def _signalled(self, number: int) -> None:
        if self._asked.is_set() and number == signal.SIGINT:
            say("interrupted: the worker id is free when its window has ended")
            sys.stderr.flush()
            os._exit(INTERRUPTED)
        self._asked.set()

    async def _lingering(self) -> None:
        await self._asked.wait()
        self._desk.stopping = True  # guard: nobody is sent here any more
        say(f"stopping: what is in flight is answered{f' after {self._linger_s:g} s' if self._linger_s else ''}")
        self._desk.readiness()
        await asyncio.sleep(self._linger_s)
        self._stop.set()

    def _ended(self, task: asyncio.Future[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self._stop.set()  # no waiting mends it

    async def _watch(self, address: str) -> None:
        """Says the address once ids can be had, and what is missing when that takes long."""
        tags = ", ".join(f"{name}={tag.kind}" for name, tag in self._desk.tags.items())
        loop, told = asyncio.get_running_loop(), False
        patience = loop.time() + PATIENCE_S
        while not (found := self._desk.readiness()).ready:
            if not told and loop.time() > patience:
                told = True
                say(f"not ready at {address} yet: {'; '.join(found.why)}")
            await asyncio.sleep(LOOK_FIRST_S)
        say(f"serving ids at {address} ({tags})")
        while True:
            await asyncio.sleep(LOOK_S)
            self._desk.readiness()
