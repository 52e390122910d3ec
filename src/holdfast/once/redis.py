# SPDX-License-Identifier: Apache-2.0
"""Effects once, in the Redis or Valkey that has the stream.

::

    handler          fills a buffer (``Writes``), touches nothing
      │
    settle.lua       still ours? ─▶ done before? ─▶ reads unchanged? ─▶ writes ─▶ done-record ─▶ acknowledgement
                     one step of the server: a crash before it leaves nothing, a crash after it leaves everything

**On the way to the handler nothing is asked**: the step that applies knows whether the effect is in, so a duplicate
costs a handler run and no write. Only deliveries that were seen before are asked about first, to spare their handler.

**A script is not a transaction.** If a write is refused (a key of another type), those before it are in. The list is
kept with a cursor, the message is retried, and the next attempt goes on behind the cursor without running the handler;
a letter of such a message says ``applied: 2 of 5``, and its replay goes on there as well, edited or not.

**In another slot** of a Cluster it is said beside the stream where the effect goes, then it is applied and recorded
there, then acknowledged: three steps, and a crash between them finds mark and record. Two slots for one message are
refused by ``Writes``.

Not promised: more than the server keeps. With ``appendfsync everysec`` a crash of the machine takes a second or two of
effects, records and acknowledgements, all three together, so that they come again together; a failover takes what was
not replicated, in the same way. What lies outside of this server does not go back with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .._base import events as ev
from .._base.points import reached
from .._redis import effect
from .._redis.effect import Words
from .._redis.keys import EffectKeys, GroupKeys
from .._redis.scripts import load_script
from .._redis.slots import slot_of
from ..consume.contract import Delivery, EffectContext, Origin, Rider
from ..consume.outcome import Directive
from ..errors import EffectBusy, EffectFailed, ReadsChanged, ServerUnreachable
from .beside import BesideStream, result_of
from .done import mark_of_slot, seen_before
from .identity import Identity
from .writes import Writes

if TYPE_CHECKING:
    from .._base.clock import Clock
    from .._redis.server import Server

#: Records of another slot that are pruned whenever one is added there: nobody else looks after them.
PRUNED_BESIDE = 20
_APPLY = load_script("holdfast.once", "apply", "effect")


class RedisOnce(BesideStream):
    """Fulfils ``consume.contract.Effect``. server: that of the stream.

    identity: what effects are known by. kept_days: how long records are kept at least; shorter than letters are kept, a
    replay could apply twice. apart: ``server`` has no stream, and another broker does not say of each delivery whether
    it came before: all are asked about.
    """

    strategy = "redis"

    def __init__(self, server: Server, events: ev.Events, clock: Clock, *, identity: Identity | None = None,
                 kept_days: float = 30.0, apart: bool = False) -> None:
        super().__init__(server, events, clock, identity=identity, kept_days=kept_days)
        self._server = server
        self._clock = clock
        self._clustered = server.clustered
        self._apart = apart
        self._looked_after: set[Origin] = set()

    def provides(self) -> tuple[type, ...]:
        return (Writes,)

    def begin(self, delivery: Delivery) -> Writes | None:
        """A buffer, where nothing has to be asked: a first delivery, known by its own id, and no slots to mind."""
        if self._apart or self._clustered or not self._identity.told_by_id or seen_before(delivery):
            return None
        if delivery.origin not in self._looked_after:
            self._looked_after.add(delivery.origin)
            self._records.keys(delivery)
        return Writes(self._ask, clustered=False)

    def ride(self, delivery: Delivery, context: EffectContext, answer: Any) -> Rider:
        """What the handler has buffered."""
        writes: Writes = context.provide(Writes)
        return Rider(delivery.message.raw_id, writes.writes, writes.reads, result_of(answer))

    async def run(self, delivery: Delivery, attempt: Callable[[EffectContext], Any]) -> bool | Rider:
        """A rider with what the handler buffered; False when that is in; True when the handler gave a directive."""
        identity, keys = self._identity.of(delivery), self._records.keys(delivery)
        if self._apart or seen_before(delivery):  # guard: apart, nobody says what came before
            known = await self._records.state(keys, identity)
            if known.applied:
                return False
            if known.elsewhere:  # guard: what is in elsewhere is not decided about again
                return Rider(identity)
            if known.came:  # guard: the handler has spoken; what it said goes on behind the cursor
                spoken = Rider(identity)
                return spoken if known.slot is None else await self._elsewhere(keys, spoken, known.slot)
        writes = Writes(self._ask, clustered=self._clustered)
        answer = await attempt(writes)
        if isinstance(answer, Directive):
            return True
        rider = Rider(identity, writes.writes, writes.reads, result_of(answer))
        if writes.slot is None or writes.slot == slot_of(keys.done):
            return rider
        return await self._elsewhere(keys, rider, writes.slot)

    async def _elsewhere(self, keys: GroupKeys, rider: Rider, slot: int) -> Rider:
        """Applies and records the effect in its own slot; what is left rides along with the acknowledgement."""
        reached("effect.elsewhere.before")
        await self._mark(keys, rider, slot)
        there = EffectKeys(self._server.prefix, keys.stream, keys.group, slot)
        try:
            await apply(self._server, there, rider, kept_ms=self._kept_ms)
        except EffectFailed:
            await self._mark(keys, rider, slot, doubt=True)
            raise
        reached("effect.elsewhere.after")
        return Rider(rider.identity, result=rider.result)

    async def _mark(self, keys: GroupKeys, rider: Rider, slot: int, *, doubt: bool = False) -> None:
        """Says beside the stream where the effect goes. Without it a message whose worker died before the
        acknowledgement would run again, and might decide otherwise: applied, and rejected."""
        await self._server.shared(keys.begun).call(
            "HSET", keys.begun, rider.identity, mark_of_slot(slot, self._clock.wall_ms(), doubt=doubt))

    def transient(self, error: BaseException) -> bool:
        """What was read has changed, or could not be asked: no attempt is counted."""
        return isinstance(error, ReadsChanged | EffectBusy)

    async def _ask(self, words: Words) -> Any:
        try:
            return await self._server.shared(words[1]).call(*words)
        except ServerUnreachable as error:
            if self._apart:  # the broker goes on without this server: it is not the message's fault
                raise EffectBusy(f"a handler's question could not be asked: {error}") from error
            raise


async def apply(server: Server, keys: EffectKeys | GroupKeys, rider: Rider, *, kept_ms: int) -> bool:
    """Applies an effect and records it under ``keys``, in one step of the server; False when it was in before.

    Nobody else prunes there, so each step takes some records along that are older than ``kept_ms``. Raises
    ReadsChanged, and EffectFailed for a write that was refused: what is in is remembered with the rest.
    """
    touched: dict[bytes, None] = {}
    fields: list[Any] = []
    effect.fields(rider.result, rider.reads, rider.writes, touched, fields)
    answer = (await server.shared(keys.done).run(
        _APPLY, (keys.done, keys.half_done, keys.results, keys.begun, keys.door, *touched),
        (rider.identity, PRUNED_BESIDE, kept_ms, effect.packed(fields)))).decode("utf-8", "replace")
    if answer == "changed":
        raise ReadsChanged
    if answer not in ("", "in"):
        done, total, error = answer.split("|", 2)
        raise EffectFailed(f"write {int(done) + 1} of {total} was refused: {error}", done=int(done), total=int(total))
    return not answer
