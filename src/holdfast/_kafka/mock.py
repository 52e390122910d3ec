# SPDX-License-Identifier: Apache-2.0
"""librdkafka's mock cluster: Kafka's protocol over TCP, in this process, for as long as the object lives.

The one inside confluent-kafka's own library, through the functions of its public header ``rdkafka_mock.h``. What was
measured of it (2.16, November 2026), and what follows:

* Topics, partitions, headers, groups, both kinds of rebalance, offsets and their metadata: as at a broker.
* **Transactions** are answered and mean nothing: the offsets sent to one are not stored, an aborted record is there to
  be read, and a second producer of one ``transactional.id`` does not fence the first. So what hangs on them is shown on
  a log in memory (``tests/support/kafka_log.py``), and here consumers run with ``transactions=off``.
* It answers no CreateTopics and no DeleteTopics; a topic that is asked for is there, with four partitions.
* After a member's end it waits for others for the session less a second; meanwhile it refuses commits, where a broker
  takes them.
* Nothing is on disk, nothing is replicated.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from ..errors import ConfigurationError, ServerUnreachable
from .driver import driver

__all__ = ["MockCluster"]

_PRODUCER = 0
_POINTERS = ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_mock_cluster_new")


def _library() -> Any:
    """The library that the driver itself has loaded."""
    beside = Path(driver().__file__).parent.parent / "confluent_kafka.libs"
    found = sorted(beside.glob("librdkafka-*.so*"))
    if not found:
        raise ConfigurationError("the mock cluster needs confluent-kafka from its Linux wheel, which has librdkafka "
                                 "inside")
    library = ctypes.CDLL(str(found[0]))
    for name in _POINTERS:
        getattr(library, name).restype = ctypes.c_void_p
    library.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
    return library


class MockCluster:
    """A cluster of one broker. ``address``: for ``bootstrap.servers``. join_ms: how long the first members of a group
    wait for others; a broker's default is 3 s."""

    def __init__(self, topics: Iterable[str] = (), *, partitions: int = 4, join_ms: int = 0) -> None:
        self._lib = _library()
        said = ctypes.create_string_buffer(512)
        conf = ctypes.c_void_p(self._lib.rd_kafka_conf_new())
        self._lib.rd_kafka_conf_set(conf, b"log_level", b"0", said, len(said))
        self._client = ctypes.c_void_p(self._lib.rd_kafka_new(_PRODUCER, conf, said, ctypes.c_size_t(len(said))))
        self._cluster = ctypes.c_void_p(self._lib.rd_kafka_mock_cluster_new(self._client, 1))
        if self._cluster.value is None:
            raise ServerUnreachable("librdkafka's mock cluster did not start")
        self._lib.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, ctypes.c_int32(join_ms))
        self.address: str = self._lib.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()
        for topic in topics:
            self.create(topic, partitions)

    @property
    def url(self) -> str:
        """For ``Holdfast``. Transactions are off: the mock cluster does not keep their promise."""
        return f"kafka://{self.address}?transactions=off"

    def create(self, topic: str, partitions: int) -> None:
        """Makes a topic."""
        self._lib.rd_kafka_mock_topic_create(self._cluster, topic.encode(), partitions, 1)

    def refuse(self, topic: str, code: int) -> None:
        """Whatever is asked of the topic is answered with this error from now on; 0: as before."""
        self._lib.rd_kafka_mock_topic_set_error(self._cluster, topic.encode(), code)

    def close(self) -> None:
        """Ends it, and with it all that it held."""
        cluster, self._cluster = self._cluster, ctypes.c_void_p()
        if cluster.value is not None:
            self._lib.rd_kafka_mock_cluster_destroy(cluster)
            self._lib.rd_kafka_destroy(self._client)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        with suppress(Exception):
            self.close()


def main() -> None:
    """A mock cluster in a process of its own: says its address, and ends with its standard input."""
    with MockCluster() as cluster:
        print(cluster.address, flush=True)  # noqa: T201 - it is what the process is for
        sys.stdin.read()


if __name__ == "__main__":
    main()
