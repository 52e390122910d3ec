# SPDX-License-Identifier: Apache-2.0
"""What effects have in common whose record lies beside their stream: ``in_redis``, ``outside`` and ``locked``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from .._base import events as ev
from ..consume.contract import Delivery, EffectContext
from ..errors import BadHandler, BusinessIdMissing
from .done import DAY_MS, DoneRecords
from .identity import Identity

if TYPE_CHECKING:
    from .._base.clock import Clock
    from .._redis.server import Server

NO_BATCH = ("effects beside the stream go in with the acknowledgements, many in one step already: a batch handler "
            "would gain nothing. Take a message at a time, or use once='sql'")


class BesideStream:
    """The part of ``consume.contract.Effect`` that does not depend on how the effect comes about.

    server: that of the stream. identity: what effects are known by. kept_days: how long records are kept at least;
    shorter than letters are kept, a replay could apply twice.
    """

    def __init__(self, server: Server, events: ev.Events, clock: Clock, *, identity: Identity | None,
                 kept_days: float) -> None:
        self._identity = identity or Identity()
        self._kept_ms = int(kept_days * DAY_MS)
        self._records = DoneRecords(server, events, clock, kept_ms=self._kept_ms)

    async def open(self) -> None:
        """Begins to look after the records."""
        await self._records.open()

    async def close(self) -> None:
        await self._records.close()

    async def run_batch(self, deliveries: Sequence[Delivery],
                        attempt: Callable[[EffectContext, Sequence[Delivery]], Any]) -> Sequence[Any]:
        raise BadHandler(NO_BATCH)

    async def applied(self, deliveries: Sequence[Delivery]) -> Sequence[bool | str]:
        """``"2 of 5"`` of what stopped half-way; ``"unknown"`` of what was begun and did not end, and where a business
        id cannot be read."""
        return [await self._applied(delivery) for delivery in deliveries]

    async def _applied(self, delivery: Delivery) -> bool | str:
        try:
            known_by = self._identity.of(delivery)
        except BusinessIdMissing:
            return "unknown"
        known = await self._records.state(self._records.keys(delivery), known_by)
        if known.applied or known.elsewhere:
            return True
        if not known.came:
            return "unknown" if known.begun else False
        done, total, _ = known.came.split("|", 2)
        return f"{done} of {total}"


def result_of(answer: Any) -> bytes:
    """What a handler answered, as it is kept beside the record: JSON, or nothing for None and what JSON cannot say."""
    if answer is None:
        return b""
    try:
        return msgspec.json.encode(answer)
    except (TypeError, ValueError):
        return b""
