# SPDX-License-Identifier: Apache-2.0
"""From the replay stream to the broker: an inbox that publishes what was sent back, and then watches for a while.

It reads as the letters' own group would: their messages lie on that group's replay stream at the desk's server. Each is
published to where the group alone takes it, at its broker. Only when the broker has confirmed it, it is marked as
carried, and stays on its way for ``watch_s``: no broker says what became of a message, but one that dies again comes
back as a letter, and what did not come back in that time counts as handled::

    published, confirmed ─▶ marked ─▶ the desk is told ─▶ watched ─▶ the desk has been told ─▶ off the replay stream
                            1         2                              3                         4

Killed before 1, it is published once more: the same message id, and the same replay, so that two deaths of it are one
letter. Killed before 2, the desk is told at 3, and calls it ``replaying`` until then. Nothing leaves at 4 that the desk
was not told of, so what is gone and was not confirmed was lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence

from ..._base import points
from ..._base.clock import Clock
from ..._base.letter_lineage import split
from ..._base.message import F_NOTE
from ...consume.contract import Delivery, Note, Settlement, Verb
from ...errors import HoldfastError, ServerUnreachable
from ..desk.carried import CARRIED
from ..holding import AGAIN_MS, BATCH, HOLD_S, PAUSES_S, Holding

__all__ = ["Post", "outgoing"]

#: Publishes one entry for the group alone; returns when the broker has it for good.
Publish = Callable[[Sequence[bytes]], Awaitable[object]]
#: Tells the desk that the broker has these letters' messages; gives those of which it has to be told again.
Confirm = Callable[[Sequence[str]], Awaitable[Iterable[str]]]


class Post(Holding):
    """Of one group. watch_s: see above. counted: told what became of so many: carried, refused."""

    def __init__(self, publish: Publish, confirm: Confirm, clock: Clock, *, prefix: str, watch_s: float,
                 counted: Callable[[str, int], object]) -> None:
        super().__init__(clock, "messages on their way back")
        self._publish, self._confirm, self._prefix, self._counted = publish, confirm, prefix, counted
        self._watch_ms = max(1, int(watch_s * 1000))
        #: Why the broker would not take what was sent back; empty: it did.
        self.refused = ""
        self._untold: set[str] = set()

    async def _deal(self, batch: list[Delivery]) -> None:
        through = [d for d in batch if is_carried(d)]
        await self._over(through)
        going = [d for d in batch if d not in through]
        since, pauses = self._clock.now(), iter(PAUSES_S)
        while going:
            going = await self._carry(going)
            if not going:
                break
            if self._ends or self._clock.now() - since > HOLD_S:
                await self._released(going, 0)
                break
            await asyncio.sleep(next(pauses, PAUSES_S[-1]))
            going = [d for d in going if self.holds(d.origin, d.entry_id)]
        self.why_not = ""

    async def _over(self, through: list[Delivery]) -> None:
        """What was watched for long enough."""
        if not through:
            return
        told = {self._letter(d) for d in through}
        try:
            await self._confirm(sorted(told))  # guard: nothing leaves that the desk was not told of
        except Exception as error:  # noqa: BLE001 - whatever a database says, it is told again
            self._trouble.warn("telling the desk what its broker has", error)
            await self._released(through, AGAIN_MS)
            return
        points.reached("branch.post.through")
        self._untold -= told
        await self._settled(through, [])

    async def tell(self) -> None:
        """Tells the desk what the broker has confirmed since, and what the desk could not take down before."""
        asked = sorted(self._untold)
        try:
            for at in range(0, len(asked), BATCH):
                lot = asked[at:at + BATCH]
                left = await self._confirm(lot)
                self._untold -= set(lot) - set(left)
                points.reached("branch.post.told")
        except Exception as error:  # noqa: BLE001 - whatever a database says, it is told again
            self._trouble.warn("telling the desk what its broker has", error)

    def _letter(self, delivery: Delivery) -> str:
        whole = delivery.message.raw or delivery.message.fields
        return split(whole, self._prefix)[0].get("replayed-from", "")

    async def _carry(self, going: Sequence[Delivery]) -> list[Delivery]:
        """Publishes; gives what did not reach the broker."""
        points.reached("branch.post.before")
        answers = await asyncio.gather(*(self._publish(outgoing(d)) for d in going), return_exceptions=True)
        points.reached("branch.post.published")
        carried, away, refused = list[Delivery](), list[Delivery](), list[Delivery]()
        for delivery, answer in zip(going, answers, strict=True):
            if not isinstance(answer, BaseException):
                carried.append(delivery)  # guard: confirmed before it is marked
            elif isinstance(answer, ServerUnreachable | TimeoutError):
                away.append(delivery)
                self.why_not = f"the broker does not answer: {answer}"
                self._trouble.warn("carrying messages back", answer)
            elif isinstance(answer, Exception):  # of one message, whatever a driver says: the others go on
                refused.append(delivery)
                self.refused = str(answer) if isinstance(answer, HoldfastError) else type(answer).__name__
                self._trouble.warn("carrying messages back", self.refused)
            else:
                raise answer
        await self._settled([], [
            *(Settlement(d, Verb.PARK, due_in_ms=self._watch_ms, note=Note(reason=CARRIED)) for d in carried),
            *(Settlement(d, Verb.PARK, due_in_ms=AGAIN_MS) for d in refused)])
        points.reached("branch.post.marked")
        for what, some in (("carried", carried), ("refused", refused)):
            if some:
                self._counted(what, len(some))
        if carried:
            self.refused = ""
            self._untold |= {self._letter(d) for d in carried}
        return away


def is_carried(delivery: Delivery) -> bool:
    """Does the broker have it already?"""
    return delivery.note is not None and delivery.note.reason == CARRIED  # guard: carried once


def outgoing(delivery: Delivery) -> list[bytes]:
    """What goes to the broker: the message with its lineage, without what Redis notes beside it."""
    whole = delivery.message.raw or delivery.message.fields
    pairs = zip(whole[::2], whole[1::2], strict=False)
    return [part for name, value in pairs if name != F_NOTE for part in (name, value)]
