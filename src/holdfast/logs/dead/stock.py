# SPDX-License-Identifier: Apache-2.0
"""How much is kept, where to know it is to read all."""

from __future__ import annotations

import time

from ..dead_lines import DeadLine, DeadStock
from .lookup import Scanned

__all__ = ["Counted"]


class Counted(Scanned):
    """``stock`` beside them, counted anew after ``stock_s`` seconds: to count is to read all, and pipelines ask every
    few seconds. What went in since is added."""

    def __init__(self, stock_s: float) -> None:
        self._stock_s = stock_s
        self._stock: tuple[float, DeadStock] | None = None

    async def stock(self) -> DeadStock:
        now = time.monotonic()
        if self._stock is None or now - self._stock[0] >= self._stock_s:
            found = (await self._all()).values()
            self._stock = now, DeadStock(count=len(found), bytes=sum(len(line.raw) for line in found),
                                         oldest_ms=min((line.first_ms for line in found), default=0))
        return self._stock[1]

    def _added(self, line: DeadLine) -> None:
        if self._stock is not None:
            at, known = self._stock
            self._stock = at, DeadStock(count=known.count + 1, bytes=known.bytes + len(line.raw),
                                        oldest_ms=known.oldest_ms or line.first_ms)

    def _removed(self) -> None:
        self._stock = None
