# SPDX-License-Identifier: Apache-2.0
"""One member of a consumer group: one thread that polls, whatever handlers do, and does all else that concerns it.

::

    any thread   commit, transact, hold ──▶ jobs ─┐
    poll thread  ┌─ jobs ◀────────────────────────┘      a call from beside would wait for the poll to return
                 ├─ poll ─▶ records ─▶ Listener.records   never stops while the member lives: when there is enough,
                 │                                        partitions are paused and polling goes on
                 └─ rebalance ─▶ assigned · revoked · lost, before the group goes on; jobs are done meanwhile

**No reader is moved silently.** Where the next record is not there (``auto.offset.reset=error``), the log was cut off
below it, or ends before it. The driver would go on anywhere; here it is said, and reading goes on at the lowest offset
that is there, wherever new groups begin.

**Nothing is committed for a lost partition.** Brokers check a member's generation and not whether the partition is its
own. Losing one and committing happen in one thread, so a job finds it gone (``owned``).
"""

from __future__ import annotations

import concurrent.futures
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from operator import methodcaller
from typing import Any, Final, Protocol, TypeVar

from .._base import points
from ..errors import ServerError, ServerRefused, ServerUnreachable
from .driver import DELIVER_S, QUIET, Producing, Record, as_ours, driver, translated

__all__ = ["Listener", "Member", "Place", "Point", "record_of", "written"]

T = TypeVar("T")
#: The driver answers and raises at once. A call that the interpreter has specialized does not look, and the error would
#: come out of whatever is called next; this one always looks.
_ask_headers: Final = methodcaller("headers")
#: Header that stands for those that cannot be read.
H_UNREADABLE: Final = "hf-unreadable"
#: Topic and partition.
Place = tuple[str, int]
#: Records taken over in one go.
BATCH: Final = 200
#: Records handed over and not taken up yet, from which on reading pauses, and below which it goes on.
HIGH, LOW = 5_000, 500
#: Seconds of one poll: as long as nothing is in flight, and else. Jobs wait for its end.
_POLL_S: Final = 0.1
_BUSY_S: Final = 0.002
#: Seconds for which nothing is polled at most, while enough lies there: for so long a rebalance may have to wait.
_LEFT_S: Final = 0.5
_ASK_S: Final = 5.0
#: Seconds within which a request is answered or counts as not.
_SOCKET_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Point:
    """An offset to be committed, or as it was committed. ``epoch``: of the partition's ownership here."""

    place: Place
    offset: int
    metadata: str | None = None
    epoch: int = 0


class Listener(Protocol):
    """Who is told, in the poll thread."""

    def assigned(self, points: Sequence[Point]) -> None:
        """These partitions are ours, from these offsets on; ``metadata`` is what was committed with them."""
        ...

    def revoked(self, places: Sequence[Place]) -> concurrent.futures.Future[None] | None:
        """They go to others once the answer is there; commits for them are taken until then."""
        ...

    def lost(self, places: Sequence[Place]) -> None:
        """They are others' already."""
        ...

    def records(self, records: Sequence[Record]) -> None: ...

    def trimmed(self, place: Place, low: int) -> None:
        """What lay below ``low`` is gone, though not all of it was read; the next record is from there on."""
        ...

    def failed(self, error: ServerError) -> None:
        """Something that passes by itself, or does not (``retry_may_help``)."""
        ...


class Member:
    """A member of ``group``, reading ``topics``. ``start``: where a partition without an offset begins."""

    def __init__(self, config: Mapping[str, Any], group: str, topics: Sequence[str], listener: Listener, *,
                 start: str = "earliest", assignor: str = "cooperative-sticky") -> None:
        self._config = {**QUIET, "socket.timeout.ms": int(_SOCKET_S * 1000), "queued.min.messages": 10_000,
                        "fetch.queue.backoff.ms": 20,
                        "fetch.wait.max.ms": 100, **config, "group.id": group, "enable.auto.commit": False,
                        "enable.auto.offset.store": False, "isolation.level": "read_committed",
                        "auto.offset.reset": "error",  # guard: what is gone unread is told
                        "partition.assignment.strategy": assignor}
        self._topics = list(topics)
        self._listener = listener
        self._start = start
        self._stepwise = assignor == "cooperative-sticky"
        self._consumer: Any = None
        self._thread = threading.Thread(target=self._run, name=f"kafka {group}", daemon=True)
        self._closing = threading.Event()
        self._ended = threading.Event()
        self._jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        #: Partitions that are ours, each with the number of the time that it came to us.
        self._owned: dict[Place, int] = {}
        #: Where each began, and which of them stand still, each with the offset that is not there.
        self._starts: dict[Place, int] = {}
        self._adrift: dict[Place, int] = {}
        self._epoch = 0
        self._held: set[Place] = set()
        self._wanted: set[Place] = set()
        self._all_held = False
        self._untaken = Count()
        #: Something is in flight here, so there will be jobs soon: polls are short then.
        self.busy = False
        #: Enough lies there for now. A pause throws away what the driver has fetched, so first it is only not polled.
        self.full = False

    def start(self) -> None:
        """Joins the group. Raises ServerError."""
        with translated("joining a Kafka group"):
            self._consumer = driver().Consumer(self._config)
            self._consumer.subscribe(self._topics, on_assign=self._on_assign, on_revoke=self._on_revoke,
                                     on_lost=self._on_lost)
        self._thread.start()

    def close(self) -> None:
        """Leaves the group and ends the thread. Its partitions are revoked in passing."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()

    # -- polling ----------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._closing.is_set():
                until = time.monotonic() + _LEFT_S
                while self.full and not self._closing.is_set() and time.monotonic() < until:
                    self._work_off(_BUSY_S)
                self._work_off()
                self._poll()
        except Exception as error:  # noqa: BLE001 - whoever runs this member hears of it, and ends
            self._listener.failed(error if isinstance(error, ServerError) else ServerRefused(
                f"the thread of a Kafka group's member has ended: {error!r}", code="THREAD"))
        finally:
            self._ended.set()
            self._work_off()
            self._consumer.close()

    def _work_off(self, within_s: float = 0.0) -> None:
        """Does what was asked for meanwhile; waits so long for the first of it."""
        with suppress(queue.Empty):
            if within_s:
                self._jobs.get(timeout=within_s)()
            while True:
                self._jobs.get_nowait()()

    def _asked(self, call: Callable[[], T]) -> T:
        """Has it done by the poll thread, and waits for what came of it. Raises what it raised."""
        told: concurrent.futures.Future[T] = concurrent.futures.Future()

        def job() -> None:
            try:
                told.set_result(call())
            except Exception as error:  # noqa: BLE001 - it is raised where it was asked for
                told.set_exception(error)

        if self._ended.is_set():
            raise ServerUnreachable("this member has left its group")
        self._jobs.put(job)
        if self._ended.is_set():  # it ended in between, and has perhaps not seen the job
            self._work_off()
        return told.result()

    def _poll(self) -> None:
        try:
            first = self._consumer.poll(_BUSY_S if self.busy else _POLL_S)
            found = [] if first is None else [first, *self._consumer.consume(BATCH - 1, 0)]
        except driver().KafkaException as error:
            self._listener.failed(as_ours(error.args[0], "reading from Kafka"))
            self._closing.wait(_POLL_S)
            return
        records = []
        for message in found:
            if message.error() is not None and message.error().name() == "_AUTO_OFFSET_RESET":
                self._adrift[message.topic(), message.partition()] = message.offset()
            elif message.error() is not None:
                self._listener.failed(_while_reading(message.error()))
            elif (message.topic(), message.partition()) in self._owned:
                records.append(record_of(message))
        if records:
            self._untaken.add(len(records))
            self.busy = True
            self._listener.records(records)
        self._ashore()
        self._breathe()

    def _ashore(self) -> None:
        """Goes on with partitions whose next record is not there, at the lowest one that is; asked until answered."""
        for place, wanted in list(self._adrift.items()):
            try:
                low, high = self._consumer.get_watermark_offsets(driver().TopicPartition(*place), timeout=_ASK_S)
                if place in self._owned:
                    self._begin_at(place, low)
            except driver().KafkaException as error:
                self._listener.failed(as_ours(error.args[0], f"asking where {place[0]}/{place[1]} begins"))
                return
            del self._adrift[place]
            if place not in self._owned:
                continue
            if wanted <= low:  # guard: offsets of another log settle nothing in this one
                self._listener.trimmed(place, low)
            else:  # its offsets are of another log: what is in hand cannot be settled in this one
                self._listener.failed(ServerUnreachable(
                    f"{place[0]}/{place[1]} ends at {high}, and the group's next offset is {wanted}: the topic was "
                    f"made anew, or has lost its end; reading goes on at {low}"))
                self._epoch += 1
                self._owned[place] = self._epoch
                self._listener.lost([place])
                self._listener.assigned([Point(place, low, None, self._epoch)])

    def _begin_at(self, place: Place, offset: int) -> None:
        """The driver has stopped reading it, so it is given up and taken again; of eager ones, all of them."""
        kafka, consumer = driver(), self._consumer
        self._starts[place] = offset
        if self._stepwise:
            consumer.incremental_unassign(_partitions({place}))
            consumer.incremental_assign([kafka.TopicPartition(*place, offset)])
        else:
            at = {(p.topic, p.partition): p.offset for p in consumer.position(_partitions(set(self._owned)))}
            at[place] = offset
            consumer.assign([kafka.TopicPartition(*one, n if n >= 0 else self._starts[one]) for one, n in at.items()])
        self._pause(set(self._owned) if self._all_held else self._held & self._owned.keys())

    def taken(self, count: int) -> None:
        """So many of the records that were handed over are taken up."""
        self._untaken.add(-count)

    def _breathe(self) -> None:
        """Pauses all when too much lies unread, and goes on when it is gone; the poll itself never stops."""
        if not self._all_held and self._untaken.value > HIGH:
            self._all_held = True  # guard: what is not taken up is not read on (test_kafka_member)
            self._pause(set(self._owned) - self._held)
        elif self._all_held and self._untaken.value < LOW:
            self._all_held = False
            self._resume(set(self._owned) - self._held)

    def hold(self, places: set[Place]) -> None:
        """These partitions pause, whatever others do; all others go on. Does not wait for it."""
        if places != self._wanted:
            self._wanted = places
            self._jobs.put(lambda: self._hold(places))

    def _hold(self, places: set[Place]) -> None:
        wanted = places & self._owned.keys()
        more, fewer = wanted - self._held, (self._held - wanted) & self._owned.keys()
        self._held = wanted
        if not self._all_held:
            self._pause(more)
            self._resume(fewer)

    def _pause(self, places: set[Place]) -> None:
        if places:
            with suppress(driver().KafkaException):  # it was taken from us in between
                self._consumer.pause(_partitions(places))

    def _resume(self, places: set[Place]) -> None:
        if places:
            with suppress(driver().KafkaException):
                self._consumer.resume(_partitions(places))

    # -- the group ----------------------------------------------------------------------------------------------------

    def _on_assign(self, consumer: Any, partitions: Sequence[Any]) -> None:
        found = self._committed(consumer, partitions) if partitions else []
        self._epoch += 1
        taken = [Point(p.place, p.offset, p.metadata, self._epoch) for p in found]
        self._owned.update((p.place, self._epoch) for p in taken)
        self._starts.update((p.place, p.offset) for p in taken)
        starts = [driver().TopicPartition(p.place[0], p.place[1], p.offset) for p in taken]
        (consumer.incremental_assign if self._stepwise else consumer.assign)(starts)
        # guard: one that was paused when it left us is paused when it comes back, and would never be read
        (self._pause if self._all_held else self._resume)({p.place for p in taken})
        self._listener.assigned(taken)

    def _committed(self, consumer: Any, partitions: Sequence[Any]) -> list[Point]:
        """Where to begin. Asked until there is an answer: a guess would lose messages, or bring all of them again."""
        while not self._closing.is_set():
            try:
                return [self._begin(consumer, p) for p in consumer.committed(list(partitions), timeout=_ASK_S)]
            except driver().KafkaException as error:
                self._listener.failed(as_ours(error.args[0], "asking for the group's offsets"))
                self._closing.wait(_POLL_S)
        return []

    def _begin(self, consumer: Any, partition: Any) -> Point:
        if partition.error is not None:
            raise driver().KafkaException(partition.error)
        place, offset = (partition.topic, partition.partition), partition.offset
        if offset < 0:
            low, high = consumer.get_watermark_offsets(partition, timeout=_ASK_S)
            offset = low if self._start == "earliest" else high
        return Point(place, offset, partition.metadata)

    def _on_revoke(self, consumer: Any, partitions: Sequence[Any]) -> None:
        places = [(p.topic, p.partition) for p in partitions]
        ended = self._listener.revoked(places)
        while ended is not None and not ended.done():
            self._work_off(_BUSY_S)  # what is in flight ends, and is committed, meanwhile
        self._given_up(places)
        if self._stepwise:
            consumer.incremental_unassign(partitions)
        else:
            consumer.unassign()

    def _on_lost(self, consumer: Any, partitions: Sequence[Any]) -> None:
        places = [(p.topic, p.partition) for p in partitions]
        self._given_up(places)
        self._listener.lost(places)
        if self._stepwise:
            consumer.incremental_unassign(partitions)
        else:
            consumer.unassign()

    def _given_up(self, places: Sequence[Place]) -> None:
        for place in places:
            self._owned.pop(place, None)
            self._adrift.pop(place, None)
            self._held.discard(place)

    # -- committing ---------------------------------------------------------------------------------------------------

    def owns(self, point: Point) -> bool:
        """Is it ours still, without a break?"""
        return self._owned.get(point.place) == point.epoch

    def commit(self, wanted: Sequence[Point]) -> set[Place]:
        """Commits offsets; answers those of partitions that are not ours any more. Raises ServerError: none of the
        others is known to be committed."""
        return self._asked(lambda: self._commit(wanted))

    def _commit(self, wanted: Sequence[Point]) -> set[Place]:
        mine = [p for p in wanted if self.owns(p)]  # guard: nothing is committed for a lost partition
        if mine:
            with translated("committing offsets"):
                found = self._consumer.commit(offsets=[_offset(p) for p in mine], asynchronous=False)
            for partition in found or ():
                if partition.error is not None:
                    raise as_ours(partition.error, "committing offsets")
        return {p.place for p in wanted} - {p.place for p in mine}

    def transact(self, producing: Producing, records: Sequence[Record], wanted: Sequence[Point]
                 ) -> tuple[list[ServerError | None], set[Place]]:
        """Writes ``records`` and commits offsets, both or neither.

        Answers what each record was refused for (then nothing at all was done), and partitions that are not ours any
        more (then nothing was done either). Raises ServerError when it is unknown, or when another process has fenced
        this one (``retry_may_help`` is False).
        """
        return self._asked(lambda: self._transact(producing, records, wanted))

    def _transact(self, producing: Producing, records: Sequence[Record], wanted: Sequence[Point]
                  ) -> tuple[list[ServerError | None], set[Place]]:
        gone = {p.place for p in wanted if not self.owns(p)}
        if gone:
            return [None] * len(records), gone
        producer = producing.client
        with translated("beginning a transaction"):
            producer.begin_transaction()
        try:
            refused = written(producing, records)
            if any(refused):
                with translated("aborting a transaction"):
                    producer.abort_transaction(_SOCKET_S)
                return refused, set()
            points.reached("kafka.offsets.before")
            with translated("sending offsets to a transaction"):
                producer.send_offsets_to_transaction([_offset(p) for p in wanted],
                                                     self._consumer.consumer_group_metadata(), _SOCKET_S)
            points.reached("kafka.commit.before")
            with translated("committing a transaction"):
                producer.commit_transaction(_SOCKET_S)
        except ServerError as error:
            _abort(producer, error)
            raise
        return refused, set()


class Count:
    """A number that several threads add to."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.value = 0

    def add(self, more: int) -> None:
        """Adds."""
        with self._lock:
            self.value += more


def written(producing: Producing, records: Sequence[Record]) -> list[ServerError | None]:
    """Writes records and waits; answers what each was refused for. Raises ServerUnreachable when one is unknown."""
    refused: list[ServerError | None] = [None] * len(records)
    answered: list[int] = []
    done = threading.Event()

    def told(number: int, error: ServerError | None) -> None:
        refused[number] = error
        answered.append(number)  # from several threads: a count would lose some
        if len(answered) == len(records):
            done.set()

    for number, record in enumerate(records):
        try:
            producing.produce(record, lambda error, message, number=number: told(
                number, None if error is None else as_ours(error, f"writing to {message.topic()}")))
        except ServerError as error:
            told(number, error)
    if records and not done.wait(DELIVER_S + _SOCKET_S):
        raise ServerUnreachable("writing to Kafka: no answer", maybe_done=True)
    unknown = next((error for error in refused if isinstance(error, ServerUnreachable)), None)
    if unknown is not None:
        raise unknown
    return refused


def _while_reading(error: Any) -> ServerError:
    """A topic that is not known yet, or a poll that came too late, passes: the driver looks again, and joins again."""
    found = as_ours(error, "reading from Kafka")
    if error.name() in ("UNKNOWN_TOPIC_OR_PART", "_MAX_POLL_EXCEEDED"):
        return ServerUnreachable(str(found))
    return found


def _abort(producer: Any, error: ServerError) -> None:
    """After an error; where the producer is fenced there is nothing left to abort."""
    try:
        producer.abort_transaction(_SOCKET_S)
    except driver().KafkaException as again:
        error.__cause__ = error.__cause__ or again


def record_of(message: Any) -> Record:
    """A message of the driver as a record."""
    kind, at_ms = message.timestamp()
    return Record(message.topic(), message.key(), message.value(), _headers_of(message), message.partition(),
                  message.offset(), at_ms if kind else 0)


def _headers_of(message: Any) -> list[tuple[str, bytes | None]]:
    """Its headers. The driver gives none of them when a name is no UTF-8: then one says so, and the record lies in its
    topic for whoever can read it."""
    try:
        return _ask_headers(message) or []
    except (SystemError, UnicodeDecodeError):  # guard: a name that cannot be read ends no reader
        return [(H_UNREADABLE, b"")]


def _partitions(places: set[Place]) -> list[Any]:
    return [driver().TopicPartition(*place) for place in places]


def _offset(point: Point) -> Any:
    return driver().TopicPartition(point.place[0], point.place[1], point.offset, point.metadata or "")


