# SPDX-License-Identifier: Apache-2.0
"""Effects that happen once, although messages are delivered at least once. One line says how::

    @hf.consumer("orders", group="points", once="redis")     # effect and record go in with the acknowledgement
    async def credit(order: OrderPaid, writes: Writes) -> None:
        writes.hincrby(f"points:{order.customer}", "balance", order.points)

    @hf.consumer("orders", group="billing", once="sql")      # … or with the transaction of your database
    async def bill(order: OrderPaid, session: AsyncSession) -> None:
        session.add(Invoice(order_id=order.id, amount=order.amount))

    @hf.consumer("orders", group="mail", once="outside")     # … or the callee is given a key
    async def mail(order: OrderPaid, key: IdempotencyKey) -> None:
        await mailer.send(order, idempotency_key=key)

``in_redis``, ``in_sql``, ``outside`` and ``locked`` are the same with settings, such as the business id an effect is
known by. Around streams: ``Outbox`` for messages that leave with a transaction, ``Guard`` for what is no message,
``StateMachine`` for rows that move by declared steps.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .._base.lock import Held, HoldState, Lock
from .guard.guard import Call, Guard, current_call
from .guard.memory_store import MemoryStore
from .machine.machine import StateMachine, Step
from .machine.transition import Duplicate, Moved
from .modes import in_redis, in_sql, locked, outside
from .writes import Writes

if TYPE_CHECKING:
    from .calls import IdempotencyKey
    from .guard.sql_store import SqlStore
    from .machine.on_sql import TableMachine
    from .outbox.outbox import Outbox
    from .outbox.relay import Relay
    from .sql import SqlOnce

__all__ = [
    "Call", "Duplicate", "Guard", "Held", "HoldState", "IdempotencyKey", "Lock", "MemoryStore", "Moved", "Outbox",
    "Relay", "SqlOnce", "SqlStore", "StateMachine", "Step", "TableMachine", "Writes", "current_call", "in_redis",
    "in_sql", "locked", "outside",
]

#: What is opened when it is first asked for: this room opens without SQLAlchemy.
_LATE = {"IdempotencyKey": "calls", "Outbox": "outbox.outbox", "Relay": "outbox.relay", "SqlOnce": "sql",
         "SqlStore": "guard.sql_store", "TableMachine": "machine.on_sql"}


def __getattr__(name: str) -> Any:
    if name in _LATE:
        return getattr(import_module(f".{_LATE[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
