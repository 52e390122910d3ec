# SPDX-License-Identifier: Apache-2.0
"""The driver, its errors as ours, and a producer whose answers can be awaited."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ..errors import MissingExtra, NotAuthorized, ServerError, ServerRefused, ServerUnreachable

__all__ = ["QUIET", "Producing", "Record", "as_ours", "client_of", "driver", "translated"]

#: librdkafka writes its log to stderr; what matters of it arrives as errors.
QUIET: Final[Mapping[str, Any]] = {"log_level": 0}
#: Seconds for which a record is tried before it counts as not written.
DELIVER_S: Final = 15.0
_POLL_S: Final = 0.1
_HEADERS = list[tuple[str, bytes | None]]


@dataclass(slots=True)
class Record:
    """One record, on its way in or out. partition: -1 leaves it to the key. offset, at_ms: of what was read."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: _HEADERS
    partition: int = -1
    offset: int = -1
    at_ms: int = 0


def driver() -> Any:
    """The module. Raises MissingExtra."""
    try:
        import confluent_kafka
    except ImportError as error:
        raise MissingExtra("kafka", "kafka://") from error
    return confluent_kafka


_REFUSED: Final = ("TOPIC_AUTHORIZATION_FAILED", "GROUP_AUTHORIZATION_FAILED", "CLUSTER_AUTHORIZATION_FAILED",
                   "TRANSACTIONAL_ID_AUTHORIZATION_FAILED", "SASL_AUTHENTICATION_FAILED", "_AUTHENTICATION")
#: Codes after which the same thing may go well: nobody answered, or a group, a leader or a transaction is on the move.
_PASSING: Final = ("_TRANSPORT", "_ALL_BROKERS_DOWN", "_TIMED_OUT", "_MSG_TIMED_OUT", "_TIMED_OUT_QUEUE", "_QUEUE_FULL",
                   "_RESOLVE", "_WAIT_COORD", "_STATE", "REQUEST_TIMED_OUT", "REBALANCE_IN_PROGRESS",
                   "ILLEGAL_GENERATION", "UNKNOWN_MEMBER_ID", "COORDINATOR_LOAD_IN_PROGRESS",
                   "COORDINATOR_NOT_AVAILABLE", "NOT_COORDINATOR", "LEADER_NOT_AVAILABLE",
                   "NOT_LEADER_FOR_PARTITION", "NOT_ENOUGH_REPLICAS", "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
                   "NETWORK_EXCEPTION", "UNSTABLE_OFFSET_COMMIT", "CONCURRENT_TRANSACTIONS", "_NO_OFFSET")


def as_ours(error: Any, what: str) -> ServerError:
    """A ``KafkaError`` as an error of ours. ``what``: what was being done."""
    name = error.name()
    said = f"{what}: {error.str()} ({name})"
    if name in _REFUSED:
        return NotAuthorized(f"{said}: give the user that right, or another user in the URL")
    if name in _PASSING or error.retriable():
        return ServerUnreachable(said, maybe_done=True)
    return ServerRefused(said, code=name)


@contextlib.contextmanager
def translated(what: str) -> Iterator[None]:
    """Errors of the driver come out as ours."""
    kafka = driver()
    try:
        yield
    except kafka.KafkaException as error:
        raise as_ours(error.args[0], what) from error
    except BufferError as error:
        raise ServerUnreachable(f"{what}: the producer's queue is full") from error


def client_of(client: Any, *, timeout_s: float) -> list[str]:
    """The cluster's brokers, ``host:port``, as one of its clients knows them."""
    with translated("asking for the cluster's brokers"):
        return [f"{b.host}:{b.port}" for b in client.list_topics(timeout=timeout_s).brokers.values()]


class Producing:
    """A producer of one process: idempotent, every record confirmed by all replicas in sync.

    A thread serves its answers. ``transactional_id``: then records are written in transactions only (``member``).
    """

    def __init__(self, config: Mapping[str, Any], *, transactional_id: str = "", transaction_s: float = 10.0,
                 linger_ms: float = 2) -> None:
        more: dict[str, Any] = {"enable.idempotence": True, "acks": "all", "linger.ms": linger_ms,
                                "partitioner": "murmur2_random", "message.timeout.ms": int(DELIVER_S * 1000)}
        if transactional_id:
            more |= {"transactional.id": transactional_id, "transaction.timeout.ms": int(transaction_s * 1000),
                     "message.timeout.ms": int(min(DELIVER_S, transaction_s) * 1000), "linger.ms": 0}
        self.client: Any = driver().Producer({**QUIET, **config, **more})
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="kafka producer", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while not self._closing.is_set():
            self.client.poll(_POLL_S)

    def begin_life(self) -> None:
        """Makes itself known as the one producer of its transactional id: a former one is fenced from here on, and what
        it left open is aborted. Blocks. Raises ServerError."""
        with translated("beginning transactions"):
            self.client.init_transactions(DELIVER_S)

    async def send(self, records: Sequence[Record]) -> list[tuple[int, int] | ServerError]:
        """Writes them; answers partition and offset of each, or why it was not written."""
        loop = asyncio.get_running_loop()
        told: list[asyncio.Future[tuple[int, int] | ServerError]] = [loop.create_future() for _ in records]

        def answered(future: asyncio.Future[tuple[int, int] | ServerError], error: Any, message: Any) -> None:
            what = f"writing to {message.topic()}"
            answer = (message.partition(), message.offset()) if error is None else as_ours(error, what)
            with contextlib.suppress(RuntimeError):  # the loop is gone: so is who asked
                loop.call_soon_threadsafe(_set, future, answer)

        for record, future in zip(records, told, strict=True):
            try:
                self.produce(record, lambda error, message, future=future: answered(future, error, message))
            except ServerError as error:
                _set(future, error)
        return list(await asyncio.gather(*told))

    async def send_together(self, records: Sequence[Record]) -> list[tuple[int, int]]:
        """Writes them in one transaction; answers partition and offset of each. Raises ServerError: none is there."""
        client = self.client
        with translated("beginning a transaction"):
            client.begin_transaction()
        found: list[tuple[int, int]] = []
        try:
            for answer in await self.send(records):
                if isinstance(answer, ServerError):
                    raise answer
                found.append(answer)
            with translated("committing a transaction"):
                await asyncio.to_thread(client.commit_transaction, DELIVER_S)
        except ServerError:
            with contextlib.suppress(driver().KafkaException):
                await asyncio.to_thread(client.abort_transaction, DELIVER_S)
            raise
        return found

    def produce(self, record: Record, told: Any) -> None:
        """Hands it to the driver. Raises ServerError when it is not even taken."""
        with translated(f"writing to {record.topic}"):
            self.client.produce(record.topic, value=record.value, key=record.key, headers=record.headers,
                                partition=record.partition, on_delivery=told)

    def close(self) -> None:
        """Waits for what is on its way, and ends the thread."""
        with contextlib.suppress(driver().KafkaException):
            self.client.flush(DELIVER_S)
        self._closing.set()
        self._thread.join()


def _set(future: asyncio.Future[Any], answer: Any) -> None:
    if not future.done():
        future.set_result(answer)
