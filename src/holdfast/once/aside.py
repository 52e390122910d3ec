# SPDX-License-Identifier: Apache-2.0
"""Effects once for messages of another broker, with their records in a Redis or Valkey beside it.

::

    handler          as on a stream: fills a buffer, makes its call, works under its lock
      │
    carry out        done before? ─▶ reads unchanged? ─▶ writes ─▶ done-record      one step of that server
      │              a crash here: the message comes again, its record is found, nothing is applied twice
    acknowledge      at the broker

What goes in with the acknowledgement where both are on one server is two steps here, in this order. So the
acknowledgement may be lost, and the effect may not.

Records are known by the kind of broker, the stream and the group (``rabbitmq:orders``): brokers of one kind that share
a server of records need prefixes of their own. Nobody there knows what can still come, so they go by time alone, after
``kept_days``: a letter that is sent back later than that is applied again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..consume.contract import Delivery, EffectContext, Rider, Settled
from ..errors import EffectBusy, ServerUnreachable
from .carry import carry_out

if TYPE_CHECKING:
    from .._redis.keys import GroupKeys
    from .._redis.server import Server
    from ..consume.contract import Effect
    from .presence import Presence

__all__ = ["AsideOnce"]


class AsideOnce:
    """Fulfils ``consume.contract.Effect``. inner: an effect whose records are at ``server`` under ``keys``; what it
    would have go in with the acknowledgement is carried out there."""

    def __init__(self, inner: Effect, server: Server, keys: GroupKeys, kept_ms: int, presence: Presence | None) -> None:
        self.inner = inner
        self.strategy = getattr(inner, "strategy", "redis")
        self._server, self._keys, self._kept_ms, self._presence = server, keys, kept_ms, presence

    def provides(self) -> tuple[type, ...]:
        return self.inner.provides()

    async def open(self) -> None:
        if self._presence is not None:
            await self._presence.open()
        await self.inner.open()

    async def close(self) -> None:
        await self.inner.close()
        if self._presence is not None:
            await self._presence.close()

    async def run(self, delivery: Delivery, attempt: Callable[[EffectContext], Any]) -> bool | Rider:
        """True: the handler ran and its effect is in, or it gave a directive. False: it was in before."""
        in_handler = False

        async def marked(context: EffectContext) -> Any:
            nonlocal in_handler
            in_handler = True
            answer = await attempt(context)
            in_handler = False
            return answer

        try:
            answer = await self.inner.run(delivery, marked)
            return await self._carried_out(answer) if isinstance(answer, Rider) else answer
        except ServerUnreachable as error:
            if in_handler:
                raise
            # guard: a server of records that is away is no fault of the message
            raise EffectBusy(f"the server of records: {error}") from error

    async def _carried_out(self, rider: Rider) -> bool:
        answer: Settled | None = None
        try:
            fresh = not rider.identity or await carry_out(self._server, self._keys, rider, self._kept_ms)
            answer = Settled.OK if fresh else Settled.DUPLICATE
        finally:
            settled, rider.settled = rider.settled, None
            if settled is not None:
                settled(answer)
        return fresh

    async def run_batch(self, deliveries: Sequence[Delivery],
                        attempt: Callable[[EffectContext, Sequence[Delivery]], Any]) -> Sequence[Any]:
        return await self.inner.run_batch(deliveries, attempt)

    async def applied(self, deliveries: Sequence[Delivery]) -> Sequence[bool | str]:
        return await self.inner.applied(deliveries)

    def transient(self, error: BaseException) -> bool:
        """As the effect itself says; and where the server of records was away."""
        return isinstance(error, EffectBusy) or self.inner.transient(error)
