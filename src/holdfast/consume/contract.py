# SPDX-License-Identifier: Apache-2.0
"""The contract between the worker's loop and a broker.

A **broker** makes **sources**: one source is one consumer of one group on one physical stream. A source reads on its
own, keeps itself alive and heals itself; it hands deliveries to an **inbox** (the worker). Each delivery knows its
**origin**, the pending list it lies in, which takes the settlement back.

::

    source ──deliver──▶ inbox ▸ decode ▸ middleware ▸ handler ▸ decide ──settle──▶ origin

Rules both sides keep:

* A delivery is settled at most once, by the incarnation that received it; its ``fence`` proves it.
* An id that is in flight is never started a second time by the same process.
* ``settle`` names what did not go through. ``GONE`` is success when the same settlement was sent before and its reply
  was lost.
* After ``revoke`` the worker forgets the origin's deliveries: queued ones are dropped, running ones cancelled, their
  outcomes are not settled.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import msgspec

from .._base.message import Message


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a broker can do, so that what it cannot is refused before anything runs (see ``abilities``).

    atomic_settle: acknowledgement, retry and burial are one step with the check of ownership. Without: a crash between
        two steps leaves a message in two places, never in none.
    native_delay: a retry can wait at the broker without holding back others.
    ordering: the unit in which order is kept, and kept through retries and deaths.
    delivery_counter: deliveries are counted by the broker, crashes included.
    history: a new group begins with what was published before it was there.
    effects: records of effects, and locks, can be kept beside the stream (``once="redis"``, ``"outside"``, locks).
    later: a message can be published for later.
    dead_heads: where order is kept, the keys whose head is dead are remembered until it is replayed, whoever owns them.
    """

    atomic_settle: bool
    native_delay: bool
    ordering: Literal["none", "key", "partition", "stream"]
    delivery_counter: bool
    history: bool = True
    effects: bool = True
    later: bool = True
    dead_heads: bool = True


@dataclass(slots=True)
class Note:
    """What is remembered beside a pending entry between attempts. Times are wall ms.

    ``deaths`` is a compressed list of ``[error type, stage, count, first ms, last ms]``, at most 8 rows.
    """

    attempts: int = 0
    crashes: int = 0
    suspect: bool = False
    first_failed_ms: int = 0
    last_failed_ms: int = 0
    reason: str = ""
    deaths: list[list[Any]] = field(default_factory=list)
    links: list[str] = field(default_factory=list)


class Delivery(msgspec.Struct, eq=False):
    """One message, delivered once to this incarnation.

    ``fence`` is opaque to the worker. ``attempts`` counts attempts that ended before this one; ``crashes`` counts
    process deaths charged to this message; a ``suspect`` was in the hands of a process that died and runs alone.
    ``note`` is what the broker remembers of earlier attempts. ``received_at``: instant at which this process got it.
    ``body`` is the decoded body once it was decoded; handlers, middleware and effects share it.
    """

    origin: Origin
    entry_id: bytes
    message: Message
    fence: Any
    received_at: float = 0.0
    attempts: int = 0
    crashes: int = 0
    suspect: bool = False
    note: Note | None = None
    body: Any = None

    @property
    def attempt(self) -> int:
        """Number of the attempt now running, from 1."""
        return self.attempts + 1

    def __repr__(self) -> str:
        return f"<Delivery {self.message.stream} {self.entry_id.decode()} attempt {self.attempts + 1}>"


class Verb(enum.IntEnum):
    """What settling does with an entry."""

    ACK = 0  # done: acknowledged, and deleted when no other group needs it
    PARK = 1  # again later: parked until ``due_in_ms`` has passed on the server
    BURY = 2  # dead: the letter is written and the entry acknowledged, in one step
    RELEASE = 3  # handed back without an attempt: due at once, for anybody
    STOW = 4  # parked for long: payload and all moves beside the stream, so that trimming is not held back
    APPLY = 5  # done, and its effect (``Rider``) goes in with the acknowledgement, in one step, unless it is in already


#: A command of the store behind an effect, as it is sent: name, key, arguments.
Words = tuple[bytes, ...]


class Rider(msgspec.Struct, eq=False, gc=False):
    """What rides along with an acknowledgement: an effect that is applied in the same step, once.

    identity: what the effect is known by within its group; empty: it records itself elsewhere. writes: commands on one
    key each, in order. reads: commands the handler asked, each with a digest of the answer it got; when one would be
    answered otherwise now, nothing is written. result: what the handler answered, kept beside the record; empty:
    nothing. settled: called with what the step answered, or with None when it came to nothing, for what has to be given
    back only then (a lock).
    """

    identity: str | bytes
    writes: Sequence[Words] = ()
    reads: Sequence[tuple[Words, bytes]] = ()
    result: bytes = b""
    settled: Callable[[Settled | None], None] | None = None


class Settlement(msgspec.Struct, eq=False, gc=False):
    """One delivery and its verb. ``due_in_ms`` goes with PARK, ``letter`` (flat fields) and ``letter_id`` with BURY,
    ``rider`` with APPLY. ``detail``: what the broker said beside its answer, for people. ``answer``: its answer, None
    as long as there is none."""

    delivery: Delivery
    verb: Verb
    due_in_ms: int = 0
    note: Note | None = None
    letter: Sequence[bytes] = ()
    letter_id: str = ""
    rider: Rider | None = None
    detail: tuple[int, int, str] | None = None
    answer: Settled | None = None


class Settled(enum.IntEnum):
    """Per-delivery answer of a settle."""

    OK = 0
    OTHER = 1  # somebody else owns it, or it is another delivery of ours: nothing was done
    EPOCH = 2  # the partition's lease has moved on: nothing was done
    GONE = 3  # no longer pending: it was settled before
    FAILED = 4  # the burial was refused by the server: the entry stays pending
    MISSING = 5  # pending, but its payload was trimmed: only a burial is possible
    DUPLICATE = 6  # its effect was in already: acknowledged, and nothing was applied
    HALF = 7  # a write of its effect was refused: what is in is remembered, the entry stays pending (``detail``)
    CHANGED = 8  # what the handler had read is otherwise now: nothing was written, the entry stays pending


class Inbox(Protocol):
    """The worker, as a source sees it."""

    def enter(self) -> None:
        """A source begins to read: what is wanted is shared among those that read."""
        ...

    def leave(self) -> None:
        """A source that had entered reads no more."""
        ...

    def room(self) -> int:
        """How many more deliveries are wanted now from the source that asks; 0 or less: wait."""
        ...

    async def wait_room(self) -> None:
        """Returns when there may be room again."""
        ...

    def deliver(self, deliveries: Sequence[Delivery]) -> None:
        """Takes over deliveries; never refuses (the source asked for room first)."""
        ...

    def holds(self, origin: Origin, entry_id: bytes) -> bool:
        """Is this id queued or in flight here?"""
        ...

    def held(self, origin: Origin) -> int:
        """How many deliveries of this origin are queued, in flight or being settled."""
        ...

    @property
    def ordered(self) -> bool:
        """Does it keep order within a key? Then a source calls ``restore`` before it reads anything new."""
        ...

    def restore(self, origin: Origin, pending: Iterable[tuple[bytes, str | None]], dead_keys: Iterable[str]) -> None:
        """All that is pending at the origin (entry id, key), and keys whose head lies in the dead letters."""
        ...

    def hand_back(self, origin: Origin) -> None:
        """Hands back what has not started; what runs goes on and is settled."""
        ...

    def revoke(self, origin: Origin, cause: str) -> int:
        """Forgets all deliveries of the origin; returns how many there were."""
        ...


class Origin(Protocol):
    """One pending list: where a delivery comes from and is settled."""

    stream: str
    group: str

    async def mark_started(self, delivery: Delivery) -> bool:
        """Writes the start mark of a suspect; False when it is no longer ours."""
        ...

    async def settle(self, acks: list[Delivery], others: Sequence[Settlement]) -> Sequence[tuple[Delivery, Settled]]:
        """Acknowledges ``acks`` and carries out ``others``, each checked against its fence.

        Answers those that did not go through; all others did. ServerUnreachable: unknown, ask again with the same.
        """
        ...


class Source(Protocol):
    """One consumer of one group on one physical stream."""

    async def run(self, inbox: Inbox) -> None:
        """Reads and heals until ``stop_reading``; raises only what a person must mend."""
        ...

    async def stop_reading(self) -> None:
        """Take no new work. ``run`` goes on keeping the lease alive until ``close``."""
        ...

    async def close(self, inbox: Inbox) -> int:
        """Hands back what is left and not held by the inbox, gives up the lease; returns how many were handed back."""
        ...

    def inspect(self) -> Any:
        """A frozen record of what is going on."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a consumer asks its broker for.

    at_once: how many deliveries it runs at once. stale_s: what waits longer than this unstarted is handed back.
    of_missing: writes the letter of an entry whose payload is gone. letter_prefix: begins each metadata field of a
    letter. partitions: as declared; 0: not declared.
    """

    stream: str
    group: str
    at_once: int
    stale_s: float
    letter_prefix: str
    of_missing: Callable[..., Any]
    partitions: int = 0


class Broker(Protocol):
    """Where streams are, of any kind but Redis: what the façade publishes to and consumes from.

    ``name``: for people. Entries are flat fields (``_base.message``). ``open`` connects, once; all else needs it.
    """

    name: str
    abilities: Abilities

    async def open(self) -> None: ...

    async def publish(self, stream: str, entries: Sequence[Sequence[bytes]]) -> Sequence[bytes]:
        """Returns entry ids when the broker has them all for good. PublishError, ServerError otherwise."""
        ...

    def sources(self, wanted: Wanted) -> Sequence[Source]:
        """The sources of one consumer in this process. Nothing is sent yet."""
        ...

    async def close(self) -> None: ...


class EffectContext(Protocol):
    """What an effect gives a handler while it runs: objects by type (for example an SQL session)."""

    def provide(self, wanted: type) -> Any:
        """The object to pass for a parameter annotated ``wanted``; KeyError when there is none."""
        ...


class Effect(Protocol):
    """Makes a handler's effect happen once. The worker wraps each attempt in it.

    ``run`` calls ``attempt(context)`` inside whatever makes the effect atomic, or does not call it when the effect is
    already there, and answers with the outcome. Errors of the handler pass through it unchanged.
    """

    def provides(self) -> tuple[type, ...]:
        """Types a handler may ask for as parameters."""
        ...

    async def open(self) -> None: ...

    async def run(self, delivery: Delivery, attempt: Callable[[EffectContext], Any]) -> bool | Rider:
        """True: the handler ran and its effect is durable, or it answered a directive. False: it had been applied
        before (a duplicate). A rider: the handler ran, and its effect is to go in with the acknowledgement."""
        ...

    async def run_batch(self, deliveries: Sequence[Delivery],
                        attempt: Callable[[EffectContext, Sequence[Delivery]], Any]) -> Sequence[Any]:
        """As ``run`` for a batch handler: duplicates are left out of the batch. Answers one value a delivery:
        ``DUPLICATE``, or what the handler answered for it."""
        ...

    async def applied(self, deliveries: Sequence[Delivery]) -> Sequence[bool | str]:
        """Has the effect of each delivery been applied? Asked before burying. ``"2 of 5"``: half of it."""
        ...

    def transient(self, error: BaseException) -> bool:
        """Is this error a busy or conflicting store (lock wait, serialization failure), not the message's fault?"""
        ...

    async def close(self) -> None: ...


@runtime_checkable
class QuickEffect(Effect, Protocol):
    """An effect that mostly has nothing to ask, neither before its handler runs nor after: then it takes no coroutine
    of its own, which is half of what a short handler costs."""

    def begin(self, delivery: Delivery) -> EffectContext | None:
        """What the handler is given; None: there is something to ask first, so ``run`` it."""
        ...

    def ride(self, delivery: Delivery, context: EffectContext, answer: Any) -> Rider:
        """What goes in with the acknowledgement, after the handler has answered."""
        ...


#: Answer of ``Effect.run_batch`` for a delivery whose effect existed before.
DUPLICATE: Any = object()
