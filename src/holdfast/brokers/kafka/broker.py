# SPDX-License-Identifier: Apache-2.0
"""Kafka, as the façade sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from ..._base import events as ev
from ..._base.incarnation import new_incarnation
from ..._base.letter import DEFAULT_PREFIX
from ..._kafka.admin import ensure_topics
from ..._kafka.driver import Producing, Record
from ..._kafka.look import positions, topics_at
from ..._kafka.member import Member
from ..._kafka.urls import parse_url
from ...consume.contract import Abilities, Source, Wanted
from ...errors import ConfigurationError, InDoubt, PublishError, ServerError
from ..world import World
from .lag import Lag, lags
from .letters import DeadTopic
from .record import parts_of
from .settings import KafkaSettings, Topics
from .source import KafkaSource, Plant

__all__ = ["ABILITIES", "STEPWISE", "KafkaBroker", "open_broker"]

#: With transactions.
ABILITIES: Final = Abilities(atomic_settle=True, native_delay=True, ordering="key", delivery_counter=False,
                             history=True, effects=False, later=False, dead_heads=False)
#: Without.
STEPWISE: Final = replace(ABILITIES, atomic_settle=False)


def open_broker(url: str, world: World, settings: KafkaSettings | None = None) -> KafkaBroker:
    """The broker at ``url`` (see ``_kafka.urls``). Nothing is sent yet. Raises ConfigurationError, MissingExtra."""
    if settings is not None and not isinstance(settings, KafkaSettings):
        raise ConfigurationError(f"broker={type(settings).__name__}: kafka:// takes KafkaSettings")
    return KafkaBroker(url, world, settings or KafkaSettings())


class KafkaBroker:
    """Fulfils ``consume.contract.Broker``."""

    name = "Kafka"

    def __init__(self, url: str, world: World, settings: KafkaSettings) -> None:
        parsed = parse_url(url)
        self.config, self.shown = parsed.config, parsed.shown
        self._world, self._settings = world, settings
        self.transactions = settings.transactions and parsed.transactions
        self.abilities = ABILITIES if self.transactions else STEPWISE
        self._producing: Producing | None = None

    async def open(self) -> None:
        """Makes the producer; the cluster is asked when there is something to ask."""
        if self._producing is None:
            self._producing = Producing(self.config)

    async def close(self) -> None:
        """Waits for what is on its way."""
        producing, self._producing = self._producing, None
        if producing is not None:
            await asyncio.to_thread(producing.close)

    async def publish(self, stream: str, entries: Sequence[Sequence[bytes]]) -> list[bytes]:
        """Returns partition-offset of each once all replicas in sync have it. Raises PublishError: what of ``entries``
        is not named in it is written."""
        began = self._world.clock.now()
        try:
            found = await self.write([Record(stream, *parts_of(entry)) for entry in entries])
        except ServerError as error:
            raise self._unpublished(stream, error) from error
        self._world.events.emit(ev.Published(
            stream=stream, count=len(entries), bytes=sum(len(part) for entry in entries for part in entry),
            seconds=self._world.clock.now() - began))
        return [b"%d-%d" % where for where in found]

    async def write(self, records: Sequence[Record]) -> list[tuple[int, int]]:
        """Partition and offset of each, once all are there. Raises ServerError: of the others some may be there."""
        if self._producing is None:
            raise ConfigurationError("the broker is not open")
        found = []
        for answer in await self._producing.send(records):
            if isinstance(answer, ServerError):
                raise answer
            found.append(answer)
        return found

    async def write_together(self, records: Sequence[Record]) -> list[tuple[int, int]]:
        """The same in one transaction: all are there, or none."""
        name = f"letters.{new_incarnation(self._world.chance)}"
        producing = await asyncio.to_thread(Producing, self.config, transactional_id=name)
        try:
            await asyncio.to_thread(producing.begin_life)
            return await producing.send_together(records)
        finally:
            await asyncio.to_thread(producing.close)

    def letters(self, stream: str, group: str, prefix: str = DEFAULT_PREFIX) -> DeadTopic:
        """The dead letters of a group."""
        return DeadTopic(self, Topics(stream, group, self._settings.levels_s, prefix))

    async def groups(self, stream: str) -> list[str]:
        """The groups that have run on ``stream``, by the topics that they have made.

        A group of ``orders.eu`` looks like one of ``orders`` that is called ``eu.…``.
        """
        found = await asyncio.to_thread(topics_at, self.config)
        start, end = f"{stream}.", ".dead"
        return sorted(name[len(start):-len(end)] for name in found
                      if name.startswith(start) and name.endswith(end) and len(name) > len(start + end))

    async def lag(self, stream: str, group: str) -> list[Lag]:
        """How far a group is behind, by partition of all that it reads, and each one's share of the whole."""
        topics = Topics(stream, group, self._settings.levels_s)
        return lags(await asyncio.to_thread(positions, self.config, group, topics.read))

    def _unpublished(self, stream: str, error: ServerError) -> PublishError:
        self._world.events.emit(ev.PublishFailed(stream=stream, error=type(error).__name__,
                                                 in_doubt=error.retry_may_help))
        kind = InDoubt if error.retry_may_help else PublishError
        return kind(f"publishing to {stream}: {error}")

    def sources(self, wanted: Wanted) -> Sequence[Source]:
        """One source: the group's partitions are dealt to it by the group."""
        s = self._settings
        topics = Topics(wanted.stream, wanted.group, s.levels_s, wanted.letter_prefix)
        incarnation = new_incarnation(self._world.chance)

        def open_member(listener: Any) -> Member:
            config = {"session.timeout.ms": s.session_ms, "max.poll.interval.ms": s.poll_ms,
                      "heartbeat.interval.ms": max(1, min(3_000, s.session_ms // 4)), **self.config}
            return Member(config, wanted.group, topics.read, listener, start=s.start,
                          assignor=s.assignor)

        def open_producing() -> Producing:
            if not self.transactions:
                return Producing(self.config, linger_ms=0)
            name = s.transactional_id or incarnation
            made = Producing(self.config, transactional_id=f"{topics.stream}.{topics.group}.{name}",
                             transaction_s=s.transaction_s)
            made.begin_life()
            return made

        async def prepare() -> None:
            await asyncio.to_thread(ensure_topics, self.config, topics.stream, [*topics.read[1:], topics.dead],
                                    partitions=wanted.partitions, replicas=s.replicas)

        return [KafkaSource(Plant(
            world=self._world, settings=s, topics=topics, incarnation=incarnation, open_member=open_member,
            open_producing=open_producing, prepare=prepare, transactions=self.transactions))]
