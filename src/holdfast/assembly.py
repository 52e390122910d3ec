# SPDX-License-Identifier: Apache-2.0
"""From a consumer as it was declared to one that runs: its routes, its effect, its sources, in their places.

The façade says what there is; this puts it together, for as long as one ``run`` takes. Nothing is decided here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from ._base.chance import Chance
from ._base.clock import Clock
from ._base.events import Events
from ._base.incarnation import new_incarnation
from ._base.letter_facts import Site
from ._redis.heart import Heart
from ._redis.keys import GroupKeys
from .consume.abilities import Asked, refuse
from .consume.attempt import attempt_of
from .consume.batch import batch_attempt_of
from .consume.batches import BatchConsumer
from .consume.binding import bind
from .consume.consumer import Consumer
from .consume.contract import Broker, Effect, Source, Wanted
from .consume.gate import Gate
from .consume.letters import Letters
from .consume.memory import MemoryBroker
from .consume.parts import Parts
from .consume.routes import Routes, route
from .consume.subscription import Subscription
from .consume.upcast import Upcasters
from .consume.worker import Running
from .errors import ConfigurationError
from .once.modes import BESIDE, InSql, Locked, is_mode
from .once.retention import Pruned, Rows
from .once.wiring import Wiring
from .streams.open import open_sources
from .streams.producer import physical
from .streams.scene import Scene
from .streams.settings import StreamSettings

if TYPE_CHECKING:
    from ._redis.server import Server

DAY_MS = 86_400_000


@dataclass(slots=True)
class Declared:
    """A consumer as declared: what to run, on what, how. ``once``: a mode, an effect of the user's own, or None."""

    subscription: Subscription
    settings: StreamSettings
    handlers: list[tuple[Callable[..., Any], str | None, int | None]]
    once: Any
    upcasters: Upcasters | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembly:
    """What everything of one run is put together with. server: None on ``memory://`` and another broker. records: where
    another broker's effects are recorded, and its locks lie. heart: of either; None: there is neither."""

    events: Events
    clock: Clock
    chance: Chance
    site: Site
    partitions: Mapping[str, int]
    sql: Any = None
    server: Server | None = None
    heart: Heart | None = None
    memory: MemoryBroker | None = None
    broker: Broker | None = None
    records: Server | None = None

    def running(self, d: Declared, gate: Gate, executor: ThreadPoolExecutor) -> Running:
        """The consumer, with the sources that feed it and the effect around its handlers."""
        self._check(d)
        effect = self._effect(d)
        provides = effect.provides() if effect is not None else ()
        subscription = replace(d.subscription, effect=effect)
        routes = Routes([route(bind(h, provides=provides, batch=subscription.batch), t, v) for h, t, v in d.handlers],
                        d.upcasters)
        letters = Letters(self.clock, prefix=d.settings.letter_prefix, site=self.site)
        parts = Parts(gate, letters, self.events, self.clock, self.chance, stale_s=d.settings.lease_ms / 1000)
        name = f"{subscription.stream}/{subscription.group}"
        consumer: Consumer
        if subscription.batch:
            consumer = BatchConsumer(subscription, batch_attempt_of(routes, effect, executor), routes, parts, name=name)
        else:
            attempt = attempt_of(routes, effect, subscription.middleware, executor)
            consumer = Consumer(subscription, attempt, routes, parts, name=name)
        return Running(consumer, self._sources(d, letters), effect)

    def rows(self, declared: Sequence[Declared], running: Sequence[Running]) -> list[Rows]:
        """The inbox rows that this worker looks after."""
        found: list[Rows] = []
        for d, r in zip(declared, running, strict=True):
            mode, effect = (d.once.inner, getattr(r.effect, "inner", None)) if isinstance(d.once, Locked) else (
                d.once, r.effect)
            if isinstance(mode, InSql) and self.server is not None:
                s, count = d.subscription, self.partitions.get(d.subscription.stream, 0)
                names = [physical(s.stream, i, count) for i in range(count)] or [s.stream]
                groups = [GroupKeys(self.server.prefix, name, s.group) for name in names]
                found.append(Rows(cast("Pruned", effect), groups, int(mode.kept_days * DAY_MS)))
        return found

    def _check(self, d: Declared) -> None:
        """Refuses what the broker cannot do."""
        if self.broker is not None:
            s = d.subscription
            refuse(self.broker.name, self.broker.abilities, Asked(
                stream=s.stream, group=s.group, ordered=s.ordered,
                effects=self.records is None and isinstance(d.once, BESIDE),
                dead_heads=s.on_dead_head == "bury-following"))

    def _sources(self, d: Declared, letters: Letters) -> Sequence[Source]:
        s = d.subscription
        if self.broker is not None:
            return self.broker.sources(Wanted(
                stream=s.stream, group=s.group, at_once=s.limits.concurrency, stale_s=d.settings.lease_ms / 1000,
                letter_prefix=d.settings.letter_prefix, of_missing=letters.of_missing,
                partitions=self.partitions.get(s.stream, 0)))
        if self.memory is not None:
            return [self.memory.source(s.stream, s.group)]
        if self.server is None or self.heart is None:
            raise ConfigurationError("there is no server to consume from")
        scene = Scene(self.server, self.heart, self.events, self.clock, self.chance, letters)
        return open_sources(scene, s.stream, s.group, d.settings, partitions=self.partitions.get(s.stream, 0),
                            ordered=s.ordered)

    def _effect(self, d: Declared) -> Effect | None:
        if not is_mode(d.once):
            made: Effect | None = d.once
            return made
        provides = provided(d.once, self.sql)
        # One that runs in a thread is enough: a thread has to be waited for.
        plain = not all(bind(h, provides=provides, batch=d.subscription.batch).is_async for h, _, _ in d.handlers)
        s, settings = d.subscription, d.settings
        effect: Effect = d.once.effect(Wiring(
            stream=s.stream, group=s.group, events=self.events, clock=self.clock, chance=self.chance,
            server=self.server or self.records, heart=self.heart, sql=self.sql, plain=plain,
            letters_days=settings.letters_days, lease_ms=settings.lease_ms,
            named=None if self.records is None else partial(new_incarnation, self.chance)))
        return effect


def provided(once: Any, sql: Any) -> tuple[type, ...]:
    """Types an effect gives handlers, known before the effect is opened."""
    if once is None:
        return ()
    found: tuple[type, ...] = once.provides(sql) if is_mode(once) else once.provides()
    return found
