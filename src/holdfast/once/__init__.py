# SPDX-License-Identifier: Apache-2.0
"""Effects that happen once, although messages are delivered at least once.

Mode SQL keeps the effect and the note that it happened (the inbox row) in one transaction of the user's database::

    once = SqlOnce("postgresql://app@db/app")          # or an engine, or a session maker, that you own

    @hf.consumer("orders", group="billing", once=once)
    async def bill(order: OrderPaid, session: AsyncSession) -> None:
        session.add(Invoice(order_id=order.id, amount=order.amount))

Needs the extra ``sql``. Modes "in Redis" and "outside" are not here yet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .sql import SqlOnce

__all__ = ["SqlOnce"]


def __getattr__(name: str) -> Any:
    # Late, so that this room opens without SQLAlchemy.
    if name == "SqlOnce":
        from .sql import SqlOnce

        return SqlOnce
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
