# SPDX-License-Identifier: Apache-2.0
"""The dead-letter service in this process, between a consumer that fails as its messages say and a desk."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

from holdfast import Holdfast, Reject, Retry
from holdfast._base import events as ev
from holdfast._redis.open import open_server
from holdfast.deadletters.branch import Origin
from holdfast.deadletters.desk import Desk
from holdfast.deadletters.handling import Rules, rule_set
from holdfast.deadletters.service import Service, ServiceSettings, Wanted
from holdfast.streams.settings import StreamSettings

GROUP = "billing"
QUICK: dict[str, Any] = {"poll_s": 0.05, "look_s": 0.2, "check_s": 0.05, "undo_s": 0.5, "deed_s": 2.0, "lease_ms": 600,
                         "sweep_ms": 200, "block_ms": 200, "drain_s": 5.0}


class Told:
    """A sink, and a teller."""

    def __init__(self) -> None:
        self.events: list[ev.Event] = []
        self.tales: list[tuple[str, str, str]] = []

    def __call__(self, event: ev.Event) -> None:
        self.events.append(event)

    def of(self, kind: type[ev.Event]) -> list[Any]:
        return [event for event in self.events if type(event) is kind]

    async def tell(self, kind: str, case: Any, why: str) -> None:
        self.tales.append((kind, case.letter_id, why))


class Bank:
    """A consumer: a body says how often it fails before it is handled (``fails``; -1: always), and how (``error``)."""

    def __init__(self, url: str, stream: str) -> None:
        self.hf = Holdfast(url, settings=StreamSettings(lease_ms=600, sweep_ms=200, block_ms=100))
        self.stream = stream
        self.handled: Counter[Any] = Counter()
        self.bodies: dict[Any, Any] = {}
        self.failed: Counter[Any] = Counter()
        self.down = False

        @self.hf.consumer(stream, group=GROUP, retry=Retry(attempts=1))
        async def pay(body: dict[str, Any]) -> None:
            number = body.get("id")
            if self.down or body.get("fails", 0) == -1 or self.failed[number] < body.get("fails", 0):
                self.failed[number] += 1
                raise _error(body.get("error", "transient"))
            self.handled[number] += 1
            self.bodies[number] = body

    async def __aenter__(self) -> Self:
        await self.hf.open()
        self._task = asyncio.create_task(self.hf.run(drain_s=1.0))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.hf.stop()
        await self._task
        await self.hf.close()

    async def publish(self, *bodies: dict[str, Any]) -> None:
        await self.hf.publish_many(self.stream, list(bodies))


def _error(kind: str) -> Exception:
    if kind == "transient":
        return ConnectionError("the bank does not answer")
    if kind.startswith("business"):
        return Reject("credit limit reached", code=kind.partition(":")[2])
    return ValueError("no currency")


@asynccontextmanager
async def serving(backend: Any, stream: str, desk_url: str, rules: dict[str, Any] | Rules | None = None, *,
                  name: str = "desk-1", told: Told | None = None, mender: Any = None, wanted: Wanted | None = None,
                  also: Sequence[Origin] = (), **numbers: Any) -> AsyncIterator[tuple[Service, Desk, Told]]:
    """One instance at work, with its desk and what it told."""
    told = told or Told()
    events = ev.Events(told)
    server = await open_server(backend.url)
    desk = await Desk(desk_url).open()
    if not isinstance(rules, Rules):
        found, rules = rules, Rules(None, events)
        if found is not None:
            rules.current = rule_set(found)
    service = Service(server, desk, wanted or Wanted((stream,), (GROUP,)), rules, events=events, teller=told,
                      mender=mender, settings=ServiceSettings(**{**QUICK, **numbers}), name=name, also=also)
    task = asyncio.create_task(service.run())
    try:
        yield service, desk, told
    finally:
        service.stop()
        await task
        await desk.close()
        await server.close()


async def until(met: Callable[[], Any], what: str, deadline_s: float = 20.0) -> Any:
    """Waits for a coroutine function, or a plain one, to answer something."""
    try:
        async with asyncio.timeout(deadline_s):
            while True:
                found = met()
                if asyncio.iscoroutine(found):
                    found = await found
                if found:
                    return found
                await asyncio.sleep(0.03)
    except TimeoutError:
        raise AssertionError(f"never: {what}") from None


def sqlite(folder: Path) -> str:
    return f"sqlite:///{folder}/desk.db"
