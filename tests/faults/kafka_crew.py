# SPDX-License-Identifier: Apache-2.0
"""Workers on a topic of librdkafka's mock cluster, and the state of its group from outside, by a plain client.

The mock cluster lives in the process of the tests; workers are processes of their own, and are what is killed.
"""

from __future__ import annotations

import json
import time
from base64 import b64decode
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import confluent_kafka as ck

from holdfast._kafka.mock import MockCluster
from tests.faults.crew import GROUP, Crew
from tests.faults.workers.consumer import Work

#: Short, so that dying is cheap; the mock cluster waits for a session less a second besides.
SESSION_MS = 1_200
PARTITIONS = 3
#: Seconds for which a look at the group holds.
LOOK_S = 0.2


class KafkaBackend:
    """A mock cluster as the crew sees it: ``url``."""

    def __init__(self, cluster: MockCluster) -> None:
        self.cluster = cluster
        self.url = f"{cluster.url}&session.timeout.ms={SESSION_MS}&heartbeat.interval.ms=200"


@dataclass
class KafkaCrew(Crew):
    """``backend`` is a ``KafkaBackend``."""

    _looked: tuple[float, Mapping[str, int]] = field(default=(0.0, {}))
    _looker: Any = None

    def __enter__(self) -> Self:
        super().__enter__()
        for topic in (*self.topics, self.dead):
            self.backend.cluster.create(topic, PARTITIONS)
        self._looker = self._client(GROUP)
        return self

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self._looker.close()

    def _client(self, group: str) -> Any:
        return ck.Consumer({"bootstrap.servers": self.backend.cluster.address, "group.id": group,
                            "enable.auto.commit": False, "enable.partition.eof": True, "log_level": 0})

    async def _publish(self, works: Sequence[Work], how: Mapping[str, Any]) -> list[str]:
        """At once, whatever was asked: there are no messages for later."""
        return await super()._publish(works, {})

    # -- state, from outside

    @property
    def topics(self) -> list[str]:
        """Where a message of the group may lie, dead letters apart."""
        own = f"{self.stream}.{GROUP}"
        return [self.stream, f"{own}.retry.10s", f"{own}.retry.600s", f"{own}.retry.long", f"{own}.replay"]

    @property
    def dead(self) -> str:
        return f"{self.stream}.{GROUP}.dead"

    def behind(self) -> Mapping[str, int]:
        """Records that are not done, by topic."""
        at, found = self._looked
        if time.monotonic() - at > LOOK_S:
            found = {topic: sum(end - offset - len(ahead) for _, offset, ahead, end in self._positions(topic))
                     for topic in self.topics}
            self._looked = time.monotonic(), found
        return found

    def _positions(self, topic: str) -> list[tuple[int, int, set[int]]]:
        """Of each partition: what is committed, what is done ahead of it, and its end."""
        places = [ck.TopicPartition(topic, n) for n in range(PARTITIONS)]
        found = []
        for place in self._looker.committed(places, timeout=10):
            _, end = self._looker.get_watermark_offsets(place, timeout=10)
            offset = max(0, place.offset)
            found.append((place.partition, offset, _ahead(offset, place.metadata), end))
        return found

    def unread(self) -> int:
        return self.behind()[self.stream]

    def backlog(self) -> int:
        return sum(self.behind().values())

    def drained(self) -> bool:
        self._looked = 0.0, {}
        return self.backlog() == 0

    def pending(self) -> list[tuple[str, str, str]]:
        return [(self.stream, message_id, "") for message_id in self.left()]

    def left(self) -> list[str]:
        """Ids of the messages that are not done, in any topic of the group."""
        found = []
        for topic in self.topics:
            done = {n: (offset, ahead) for n, offset, ahead, _ in self._positions(topic)}
            for message in self.records(topic):
                offset, ahead = done[message.partition()]
                if message.offset() >= offset and message.offset() not in ahead:
                    found.append(dict(message.headers())["hf:id"].decode())
        return found

    def letters(self) -> list[dict[bytes, bytes]]:
        """The dead letters, each once."""
        return list({head[b"hf:letter"]: head for head in self._lying_dead()}.values())

    def copies(self) -> Counter[str]:
        """How often each letter lies there, by its message's id."""
        return Counter(head[b"hf:id"].decode() for head in self._lying_dead())

    def _lying_dead(self) -> list[dict[bytes, bytes]]:
        return [{name.encode(): value for name, value in message.headers()} for message in self.records(self.dead)]

    def records(self, topic: str) -> Iterable[Any]:
        """All that lies in a topic."""
        client, ended, found = self._client("outside"), set(), []
        client.assign([ck.TopicPartition(topic, n, 0) for n in range(PARTITIONS)])
        until = time.monotonic() + 20
        while len(ended) < PARTITIONS:
            assert time.monotonic() < until, f"{topic} cannot be read to its end"
            message = client.poll(0.2)
            if message is not None and message.error() is None:
                found.append(message)
            elif message is not None and message.error().code() == ck.KafkaError._PARTITION_EOF:
                ended.add(message.partition())
        client.close()
        return found


def _ahead(offset: int, metadata: str | None) -> set[int]:
    """Offsets done ahead of the committed one, as the metadata says."""
    bits = int.from_bytes(b64decode(json.loads(metadata).get("d", "")), "little") if metadata else 0
    return {offset + n for n in range(bits.bit_length()) if bits >> n & 1}
