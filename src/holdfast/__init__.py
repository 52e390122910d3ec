# SPDX-License-Identifier: Apache-2.0
"""Holdfast: message-driven services on Redis and Valkey that do not lose messages and apply each of them once.

::

    from holdfast import Holdfast, Retry

    hf = Holdfast("redis://localhost:6379/0", sql="postgresql+psycopg://app@db/app")   # Holdfast() embeds a server

    @hf.consumer("orders", group="billing", retry=Retry(attempts=5), once="sql")
    async def bill(order: OrderPaid, session: AsyncSession) -> None:
        session.add(Invoice(order_id=order.id, amount=order.amount))

    await hf.publish("orders", OrderPaid(...), key=order.id)      # holdfast run billing:hf --processes 4

The map: ``errors`` and ``_base`` are the ground; ``_redis``, ``_sql`` and ``consume`` stand on it; the rooms
(``streams``, ``once``, ``sinks``, …) stand on those and do not see each other; ``deadletters`` looks into streams;
``app`` and ``testing`` wire rooms together; ``demo`` and ``cli`` are on top. What is listed here is what you may use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from ._base.events import Event, Events
    from ._base.message import Message
    from ._base.secret import Secret
    from .app import Holdfast
    from .consume.backoff import Exponential, Fixed, Immediate, Linear, Schedule
    from .consume.breaker import BreakerSettings
    from .consume.contract import Delivery
    from .consume.limits_file import Limits
    from .consume.outcome import Drop, Reject, Retry
    from .consume.policy import RetryPolicy
    from .consume.upcast import Upcasters
    from .errors import HoldfastError
    from .streams.entry import Outgoing
    from .streams.producer import Receipt
    from .streams.settings import StreamSettings

_WHERE = {
    "BreakerSettings": "consume.breaker", "Limits": "consume.limits_file",
    "Delivery": "consume.contract", "Drop": "consume.outcome", "Event": "_base.events", "Events": "_base.events",
    "Exponential": "consume.backoff", "Fixed": "consume.backoff", "Holdfast": "app", "HoldfastError": "errors",
    "Immediate": "consume.backoff", "Linear": "consume.backoff", "Message": "_base.message",
    "Outgoing": "streams.entry",
    "Receipt": "streams.producer", "Reject": "consume.outcome", "Retry": "consume.outcome",
    "RetryPolicy": "consume.policy", "Schedule": "consume.backoff", "Secret": "_base.secret",
    "StreamSettings": "streams.settings", "Upcasters": "consume.upcast",
}

__all__ = [
    "BreakerSettings", "Delivery", "Drop", "Event", "Events", "Exponential", "Fixed", "Holdfast", "HoldfastError",
    "Immediate", "Limits", "Linear", "Message", "Outgoing", "Receipt", "Reject", "Retry", "RetryPolicy", "Schedule",
    "Secret", "StreamSettings", "Upcasters",
]


def __getattr__(name: str) -> Any:
    """Rooms are opened when first asked for: importing the package costs milliseconds."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found = getattr(import_module(f".{_WHERE[name]}", __name__), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
