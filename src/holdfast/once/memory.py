# SPDX-License-Identifier: Apache-2.0
"""The modes of ``once`` in memory, for tests of handlers on ``memory://``: same buffer, same identity, same refusals.

Writes are not carried out, they are written down: ``broker.applied(stream, group)`` shows each effect, once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .._redis.effect import Words
from ..consume.contract import Delivery, EffectContext, Rider
from ..consume.outcome import Directive
from ..errors import BadHandler, ConfigurationError
from .beside import NO_BATCH
from .calls import IdempotencyKey, key_of
from .identity import Identity
from .writes import Writes


class MemoryOnce:
    """Fulfils ``consume.contract.Effect`` for modes ``redis`` and ``outside``, in one process and for its lifetime."""

    strategy = "memory"

    def __init__(self, identity: Identity | None = None) -> None:
        self._identity = identity or Identity()

    def provides(self) -> tuple[type, ...]:
        return (Writes, IdempotencyKey)

    async def open(self) -> None:
        """There is nothing to open."""

    async def close(self) -> None:
        """There is nothing to close."""

    async def run(self, delivery: Delivery, attempt: Callable[[EffectContext], Any]) -> bool | Rider:
        identity = self._identity.of(delivery)
        key = key_of(delivery.origin.stream, delivery.origin.group, identity)
        context = _Given(Writes(_nothing_to_read, clustered=False), key)
        answer = await attempt(context)
        return True if isinstance(answer, Directive) else Rider(identity, context.writes.writes)

    async def run_batch(self, deliveries: Sequence[Delivery],
                        attempt: Callable[[EffectContext, Sequence[Delivery]], Any]) -> Sequence[Any]:
        raise BadHandler(NO_BATCH)

    async def applied(self, deliveries: Sequence[Delivery]) -> Sequence[bool | str]:
        return [False] * len(deliveries)

    def transient(self, error: BaseException) -> bool:
        return False


class _Given:
    def __init__(self, writes: Writes, key: IdempotencyKey) -> None:
        self.writes = writes
        self._by_type: dict[type, Any] = {Writes: writes, IdempotencyKey: key}

    def provide(self, wanted: type) -> Any:
        return self._by_type[wanted]


async def _nothing_to_read(words: Words) -> Any:
    raise ConfigurationError(f"memory:// has nothing to answer {words[0].decode()} with: test a handler that reads on "
                             "a server, with Holdfast()")
