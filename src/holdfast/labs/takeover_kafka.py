# SPDX-License-Identifier: Apache-2.0
"""The rebalance of a Kafka consumer group, on librdkafka's mock cluster: the protocol is Kafka's, the broker is not.

The mock cluster lives in the lab's process and is spoken to over TCP. Its group coordinator removes a member that sends
no heartbeat for ``session.timeout.ms``, tells the others to join anew, and lets them deal the partitions again. What it
is not: a Kafka broker. Beside keeping nothing on disk and replicating nothing, it differs where it is measured:

* After a member's end it waits for others to join for ``session.timeout.ms`` less a second, even when all have joined
  (``rdkafka_mock_cgrp.c``). A broker goes on when the last one has. This wait is a cell of its own, ``mock_wait_s``.
* Meanwhile it refuses commits, where a broker still takes them: ``handled_twice`` is more than a broker's would be.
* The first members wait 3 s for others, and those whose session is over by then are removed: so sessions are longer.
* It allows sessions below a broker's ``group.min.session.timeout.ms`` (6 s unless changed).
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ..errors import HoldfastError, MissingExtra

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

#: Scheme → its assignor. Eager: everybody gives up everything first. Cooperative: only what moves stands still.
ASSIGNORS = {"rebalance": "range", "rebalance-cooperative": "cooperative-sticky"}
#: What the mock cluster gives a topic; the partitioned stream takes as many.
PARTITIONS = 4
#: Logs of librdkafka are not the lab's words: it reports each killed connection.
_QUIET = {"log_level": 0}
_TIMEOUT_S = 5.0


def driver() -> Any:
    """The module. Raises MissingExtra."""
    try:
        import confluent_kafka
    except ImportError as error:
        raise MissingExtra("kafka", "the scheme rebalance") from error
    return confluent_kafka


class MockCluster:
    """One broker in this process, for as long as this object lives; and a producer to it."""

    def __init__(self, topics: Iterable[str]) -> None:
        self._producer = driver().Producer({"bootstrap.servers": "replaced-by-the-mock", "test.mock.num.brokers": 1,
                                            "linger.ms": 0, **_QUIET})
        for topic in topics:  # asking for it makes it
            found = self._producer.list_topics(topic, timeout=_TIMEOUT_S)
        self.address = ",".join(f"{b.host}:{b.port}" for b in found.brokers.values())

    def publish(self, topic: str, message_id: str, number: int) -> None:
        """Returns when the mock cluster has it. ``number``: of the message; partitions take turns."""
        self._producer.produce(topic, value=message_id.encode(), partition=number % PARTITIONS)
        if self._producer.flush(_TIMEOUT_S):
            raise HoldfastError(f"librdkafka's mock cluster did not take {message_id} within {_TIMEOUT_S:g} s")


def consume(address: str, topic: str, session_ms: int, handle: Callable[[str], None]) -> None:
    """A member of the group, as one writes it by hand: one message, its handler, its commit. Never returns."""
    kafka = driver()
    consumer = kafka.Consumer({
        "bootstrap.servers": address, "group.id": topic, "partition.assignment.strategy": ASSIGNORS[topic],
        "session.timeout.ms": session_ms, "heartbeat.interval.ms": session_ms // 4, "auto.offset.reset": "earliest",
        "enable.auto.commit": False, **_QUIET})
    consumer.subscribe([topic])
    while True:
        message = consumer.poll(0.1)
        if message is None:
            continue
        if message.error():
            time.sleep(0.1)
            continue
        handle(message.value().decode())
        with suppress(kafka.KafkaException):  # taken from us meanwhile: whoever has it gets the message again
            # Not waited for: while the group is dealt anew the answer would be held back, and a member that keeps its
            # partitions (cooperative-sticky) would stand still for nothing.
            consumer.commit(message, asynchronous=True)


def mock_wait_s(session_s: float) -> float:
    """How long the mock cluster waits for members to join anew, whoever has joined."""
    return session_s - 1 if session_s > 1 else session_s
