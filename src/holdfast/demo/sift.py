# SPDX-License-Identifier: Apache-2.0
"""Lines are parsed before a transaction is opened, so that a bad one never rolls back the good ones beside it.

Within ``once="sql"`` the members of a batch share a transaction: one that fails undoes all, and each is then run alone.
That is right for what can only be found out by trying. A line that is no span can be told beforehand, and is: it gets
its error as its own outcome, is dead at once (no other attempt would read it differently), and the rest goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..consume.contract import Delivery, EffectContext
from ..errors import MessageError
from ..once.sql import SqlOnce
from .spans import Layout, parse_line


class Sifted:
    """Effects once in SQL, for the lines that are spans. Fulfils ``consume.contract.Effect``."""

    def __init__(self, sql: str, stream: str, group: str, layout: Layout) -> None:
        self._once = SqlOnce(sql).for_consumer(stream, group, "keep")
        self._layout = layout
        self.provides = self._once.provides
        self.open = self._once.open
        self.applied = self._once.applied
        self.transient = self._once.transient
        self.close = self._once.close

    def _parse(self, delivery: Delivery) -> None:
        delivery.body = parse_line(delivery.message.body, self._layout.format, self._layout.header)

    async def run(self, delivery: Delivery, attempt: Callable[[EffectContext], Any]) -> bool:
        """Raises what is wrong with the line, before anything is written."""
        self._parse(delivery)
        return await self._once.run(delivery, attempt)

    async def run_batch(self, deliveries: Sequence[Delivery],
                        attempt: Callable[[EffectContext, Sequence[Delivery]], Any]) -> Sequence[Any]:
        """One transaction for the good lines; a bad one is answered with its error."""
        answers: list[Any] = []
        for delivery in deliveries:
            try:
                self._parse(delivery)
                answers.append(None)
            except MessageError as error:
                answers.append(error)
        good = [d for d, bad in zip(deliveries, answers, strict=True) if bad is None]
        kept = iter(await self._once.run_batch(good, attempt) if good else ())
        return [next(kept) if bad is None else bad for bad in answers]
