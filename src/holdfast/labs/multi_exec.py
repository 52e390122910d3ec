# SPDX-License-Identifier: Apache-2.0
"""The alternative that everybody knows: ``MULTI`` and ``EXEC`` with ``WATCH``, written as it should be.

::

    WATCH done:id, EXISTS done:id ─▶ handler ─▶ MULTI  effects  SET done:id PX …  XACK  XDEL  EXEC
         │ there: duplicate                         └ nothing of it when somebody else has set done:id meanwhile

It is once, as ``once="redis"`` is: effect, record and acknowledgement are one step. What it costs more: two round trips
a message of its own, which nothing can put together with those of other messages; a connection for as long as the
handler runs; a key a message. What it lacks: ``EXEC`` takes nothing back. When a command in the middle is refused, the
others and the record are in, and nothing remembers which one is missing.

It lives in the lab, to be compared, and stands behind the same consumer as everybody else: only the effect differs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..consume.contract import Delivery, EffectContext
from ..consume.outcome import Directive
from ..errors import BadHandler, EffectFailed, ReadsChanged, ServerUnreachable
from ..once.done import keys_of
from ..once.writes import Writes

if TYPE_CHECKING:
    from .._redis.keys import GroupKeys
    from .lines import Line, Lines

#: How long a record is kept. A lab needs it for minutes; it is here because a record without expiry stays for ever.
KEPT_MS = 86_400_000


class _Given:
    """What a handler is given: its buffer."""

    __slots__ = ("_writes",)

    def __init__(self, writes: Writes) -> None:
        self._writes = writes

    def provide(self, wanted: type) -> Any:
        if wanted is not Writes:
            raise KeyError(wanted)
        return self._writes


def record_key(keys: GroupKeys, message_id: str) -> bytes:
    """A key a message, or ``WATCH`` would see everybody else's records change."""
    return keys.base + b":done:" + message_id.encode()


class MultiExec:
    """Fulfils ``consume.contract.Effect``. lines: a connection for each handler that runs at once."""

    strategy = "multi-exec"

    def __init__(self, lines: Callable[[], Lines], prefix: str, *, clustered: bool) -> None:
        self._lines = lines
        self._prefix = prefix
        self._clustered = clustered

    def provides(self) -> tuple[type, ...]:
        return (Writes,)

    async def open(self) -> None:
        """Nothing to do: connections come when they are needed."""

    async def close(self) -> None:
        """Nothing to do: connections are closed by who lent them."""

    async def run(self, delivery: Delivery, attempt: Callable[[EffectContext], Any]) -> bool:
        """As ``Effect.run``. Raises ReadsChanged when another was quicker: the next look finds its record."""
        done = self._record_of(delivery)
        async with self._lines().lent() as line:
            if (await line.watch(done, ("EXISTS", done)))[0]:  # guard: the record
                return False
            writes = Writes(_watched(line), clustered=self._clustered)
            answer = await attempt(_Given(writes))
            if isinstance(answer, Directive):
                return True
            await self._executed(line, delivery, writes, done)
        return True

    def _record_of(self, delivery: Delivery) -> bytes:
        return record_key(keys_of(delivery, self._prefix), delivery.message.id)

    async def _executed(self, line: Line, delivery: Delivery, writes: Writes, done: bytes) -> None:
        stream, group = delivery.origin.stream.encode(), delivery.origin.group
        answers = await line.transact([
            *writes.writes, ("SET", done, "1", "PX", KEPT_MS), ("XACK", stream, group, delivery.entry_id),
            ("XDEL", stream, delivery.entry_id)])
        if answers is None:
            raise ReadsChanged
        refused = [n for n, answer in enumerate(answers[:len(writes.writes)]) if isinstance(answer, Exception)]
        if refused:
            total = len(writes.writes)
            raise EffectFailed(f"write {refused[0] + 1} of {total} was refused and the others are in: EXEC takes "
                               f"nothing back ({answers[refused[0]]})", done=refused[0], total=total)

    async def run_batch(self, deliveries: Sequence[Delivery],
                        attempt: Callable[[EffectContext, Sequence[Delivery]], Any]) -> Sequence[Any]:
        raise BadHandler("MULTI with WATCH decides a message at a time: one changed record would undo a whole batch")

    async def applied(self, deliveries: Sequence[Delivery]) -> Sequence[bool | str]:
        """Asks for the records, one by one."""
        async with self._lines().lent() as line:
            return [bool(await line.call("EXISTS", self._record_of(d))) for d in deliveries]

    def transient(self, error: BaseException) -> bool:
        """Another was quicker, or the connection broke: no attempt is counted."""
        return isinstance(error, ReadsChanged | ServerUnreachable)


def _watched(line: Line) -> Callable[[tuple[bytes, ...]], Any]:
    """Reads whose answers must still hold at the end: their keys are watched too."""
    async def ask(words: tuple[bytes, ...]) -> Any:
        return (await line.watch(words[1], words))[0]

    return ask
