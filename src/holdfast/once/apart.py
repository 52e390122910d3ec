# SPDX-License-Identifier: Apache-2.0
"""Effects of another broker's messages, recorded at a Redis or Valkey of their own before the broker acknowledges.

::

    handler ─▶ record server: writes, record, mark gone: one step ─▶ broker: acknowledged
                    │                                                   │
                    └─ a death before it left nothing                   └─ a death before it: the copy finds the record

What rides along with an acknowledgement on Redis is carried out here by itself, one step earlier. Nothing else is
different: what an effect is known by, what is begun and in doubt, how far a half-done one came. The rider that goes on
to the broker carries only what has to be given back when it has answered (a lock, a mark).

**The record server may be away** while the broker is there. Then messages are parked and no attempt is counted. Of what
a handler has brought about already it is said for ``RECORD_S``, for its mark would be in doubt otherwise.

**Records go by time alone**, a few whenever one is added: no low-water mark of ours tells which messages of a broker
can still come. So ``kept_days`` has to be more than what a message may lie there, its dead letters included.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .._base import events as ev
from .._base.points import reached
from ..consume.contract import Delivery, Effect, EffectContext, Rider, Settled
from ..consume.settler import come_to_nothing
from ..errors import EffectBusy, EffectFailed, ReadsChanged, ServerError, ServerUnreachable
from .done import DAY_MS, keys_of
from .redis import apply

if TYPE_CHECKING:
    from .._redis.server import Server
    from .seat import Seat

#: Seconds for which a record that could not be made is tried again; then the message is parked.
RECORD_S = 5.0
#: Seconds between two tries.
AGAIN_S = 0.25


class Apart:
    """Fulfils ``consume.contract.Effect`` around one that records with the acknowledgement.

    inner: the effect, made for ``server``. seat: whose lease its marks are worth; None: it makes none. kept_days: how
    long records are kept at least.
    """

    def __init__(self, inner: Effect, server: Server, events: ev.Events, *, kept_days: float,
                 seat: Seat | None = None) -> None:
        self.inner = inner
        self.strategy: str = getattr(inner, "strategy", "")
        self._server = server
        self._events = events
        self._kept_ms = int(kept_days * DAY_MS)
        self._seat = seat

    def provides(self) -> tuple[type, ...]:
        return self.inner.provides()

    async def open(self) -> None:
        """Opens the effect; then its marks are worth something."""
        await self.inner.open()
        if self._seat is not None:
            await self._seat.open()

    async def close(self) -> None:
        """The lease last: what the effect says at its end is said in its name."""
        try:
            await self.inner.close()
        finally:
            if self._seat is not None:
                await self._seat.close()

    async def run(self, delivery: Delivery, attempt: Callable[[EffectContext], Any]) -> bool | Rider:
        """As the effect's own; its rider is carried out. Raises EffectBusy while the server is away."""
        handlers_own: list[BaseException] = []

        async def told(context: EffectContext) -> Any:
            try:
                return await attempt(context)
            except BaseException as error:
                handlers_own.append(error)
                raise

        try:
            rider = await self.inner.run(delivery, told)
        except ServerError as error:
            if error in handlers_own:  # guard: what the handler itself met is its own failure
                raise
            raise EffectBusy(  # guard: an outage of records is nobody's failed attempt
                f"the server of records could not be asked about message {delivery.message.id}: {error}") from error
        finally:
            handlers_own.clear()  # an error keeps its frames, and these keep it
        if not isinstance(rider, Rider):
            return rider
        try:
            new = await self._recorded(delivery, rider)  # guard: recorded before the broker acknowledges
        except BaseException:
            come_to_nothing(rider)  # guard: a lock is given back, and a mark ended, though nothing was recorded
            raise
        if not new:
            come_to_nothing(rider, Settled.DUPLICATE)
            return False
        return Rider("", settled=rider.settled)

    async def _recorded(self, delivery: Delivery, rider: Rider) -> bool:
        """Applies and records it, once; False when it was in before."""
        if not rider.identity:  # it records itself, in a database
            return True
        origin, keys, message_id = delivery.origin, keys_of(delivery, self._server.prefix), delivery.message.id
        reached("apart.applied.before")
        until, unanswered = time.monotonic() + RECORD_S, False
        while True:
            try:
                # What went in by a step whose answer was lost is ours.
                new = await apply(self._server, keys, rider, kept_ms=self._kept_ms) or unanswered
                break
            except ReadsChanged:
                self._events.emit(ev.EffectConflict(stream=origin.stream, group=origin.group, message_id=message_id))
                raise
            except EffectFailed as error:
                self._events.emit(ev.EffectHalfDone(stream=origin.stream, group=origin.group, message_id=message_id,
                                                    done=error.done, total=error.total, error=str(error)))
                raise
            except ServerError as error:
                if not isinstance(error, ServerUnreachable) or time.monotonic() > until:
                    raise EffectBusy(f"the effect of message {message_id} could not be recorded: {error}") from error
                unanswered = True
                await asyncio.sleep(AGAIN_S)
        reached("apart.applied.after")
        return new

    async def run_batch(self, deliveries: Sequence[Delivery],
                        attempt: Callable[[EffectContext, Sequence[Delivery]], Any]) -> Sequence[Any]:
        return await self.inner.run_batch(deliveries, attempt)

    async def applied(self, deliveries: Sequence[Delivery]) -> Sequence[bool | str]:
        return await self.inner.applied(deliveries)

    def transient(self, error: BaseException) -> bool:
        """Somebody else is at it, or the server of records is away: no attempt is counted."""
        return isinstance(error, EffectBusy) or self.inner.transient(error)


__all__ = ["Apart"]
