# SPDX-License-Identifier: Apache-2.0
"""For those who have a framework already: their handlers stay, Holdfast stands between them and the stream.

::

    broker = HoldfastBroker(hf, "redis://localhost:6379/0")     # of adapters.faststream, in place of RedisBroker
    broker = HoldfastBroker(hf, stream="tasks")                 # of adapters.taskiq, in place of RedisStreamBroker

    @broker.task
    async def bill(order: str, session: AsyncSession = TaskiqDepends(given(AsyncSession))) -> None: ...

What a framework then has: messages of a dead worker are taken over within lease and sweep, also on an idle stream;
every settlement is fenced; what fails is retried by policy and ends in dead letters that can be replayed; and effects
happen once. ``given`` hands a handler what its effect provides. ``celery`` takes in what Celery has left behind.

Each adapter needs its framework (extras ``faststream``, ``taskiq``), which is imported with the adapter's own module.
"""

from __future__ import annotations

from .underway import given, how

__all__ = ["given", "how"]
