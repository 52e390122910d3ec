# SPDX-License-Identifier: Apache-2.0
"""Looking at topics and groups from outside, as no member of anything. Calls block."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from ..errors import ServerUnreachable
from .driver import QUIET, Record, as_ours, driver, translated
from .member import Point, record_of

__all__ = ["ends_of", "partitions_of", "positions", "read_through", "records_of", "topics_at"]

_ASK_S: Final = 10.0
#: Seconds without a record or an end after which a partition counts as unreachable.
_QUIET_S: Final = 10.0


def _observer(config: Mapping[str, Any], group: str = "holdfast-look") -> Any:
    return driver().Consumer({**QUIET, "fetch.wait.max.ms": 50, **config, "group.id": group,
                              "enable.auto.commit": False, "isolation.level": "read_committed",
                              "auto.offset.reset": "earliest", "enable.partition.eof": True})


def partitions_of(config: Mapping[str, Any], topic: str) -> int:
    """How many partitions a topic has; 0: there is none. Raises ServerError."""
    consumer = _observer(config)
    try:
        return _count(consumer, topic)
    finally:
        consumer.close()


def ends_of(config: Mapping[str, Any], topic: str) -> list[int]:
    """The next offset of each partition; none where there is no topic. Raises ServerError."""
    consumer = _observer(config)
    try:
        count = _count(consumer, topic)
        with translated(f"asking where {topic} ends"):
            return [consumer.get_watermark_offsets(driver().TopicPartition(topic, number), timeout=_ASK_S)[1]
                    for number in range(count)]
    finally:
        consumer.close()


def topics_at(config: Mapping[str, Any]) -> list[str]:
    """Names of all topics that this user may see. Raises ServerError."""
    consumer = _observer(config)
    try:
        with translated("asking for topics"):
            return sorted(consumer.list_topics(timeout=_ASK_S).topics)
    finally:
        consumer.close()


def _count(consumer: Any, topic: str) -> int:
    with translated(f"asking for the topic {topic}"):
        found = consumer.list_topics(topic, timeout=_ASK_S).topics.get(topic)
    return 0 if found is None or found.error is not None else len(found.partitions)


def read_through(config: Mapping[str, Any], topic: str) -> list[Record]:
    """Every record that is committed in a topic now, by partition and offset; none where there is no topic.

    Raises ServerError.
    """
    return sorted(records_of(config, topic), key=lambda r: (r.partition, r.offset))


def records_of(config: Mapping[str, Any], topic: str) -> Iterator[Record]:
    """The same as they come, each partition's in order, without holding them all."""
    consumer = _observer(config)
    try:
        places = [driver().TopicPartition(topic, number, 0) for number in range(_count(consumer, topic))]
        for place in places:
            place.offset = driver().OFFSET_BEGINNING
        consumer.assign(places)
        yield from _to_the_end(consumer, topic, len(places))
    finally:
        consumer.close()


def _to_the_end(consumer: Any, topic: str, partitions: int) -> Iterator[Record]:
    ended: set[int] = set()
    until = time.monotonic() + _QUIET_S
    while len(ended) < partitions:
        with translated(f"reading {topic}"):
            messages = consumer.consume(500, 0.05)
        for message in messages:
            until = time.monotonic() + _QUIET_S
            if message.error() is None:
                yield record_of(message)
            elif message.error().name() == "_PARTITION_EOF":
                ended.add(message.partition())
            elif not message.error().retriable():
                raise as_ours(message.error(), f"reading {topic}")
        if time.monotonic() > until:
            raise ServerUnreachable(f"reading {topic}: no answer for {_QUIET_S:g} s")


def positions(config: Mapping[str, Any], group: str, topics: Sequence[str]) -> list[tuple[Point, int, int]]:
    """Of each partition: what the group has committed (offset -1: nothing), its lowest offset, and the next one to be
    written. Raises ServerError."""
    consumer = _observer(config, group)
    try:
        with translated(f"asking for the offsets of group {group}"):
            places = [driver().TopicPartition(topic, number) for topic in topics
                      for number in range(_count(consumer, topic))]
            found = []
            for place in consumer.committed(places, timeout=_ASK_S) if places else ():
                low, high = consumer.get_watermark_offsets(place, timeout=_ASK_S)
                found.append((Point((place.topic, place.partition), max(-1, place.offset), place.metadata), low, high))
        return found
    finally:
        consumer.close()
