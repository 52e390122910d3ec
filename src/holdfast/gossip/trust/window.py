# SPDX-License-Identifier: Apache-2.0
"""Which packets of a sender were there already: a bitmap over the last counters, as in IPsec (RFC 4303, 3.4.3)."""

from __future__ import annotations

from typing import Final

#: Counters behind the highest one that may still come; 1024 packets are 128 bytes.
WIDTH: Final = 1024


class Window:
    """Counters of one sender, of one start. width: price of more: memory; of less: late packets are refused."""

    __slots__ = ("_highest", "_mask", "_seen")

    def __init__(self, width: int = WIDTH) -> None:
        self._highest = -1
        self._seen = 0
        self._mask = (1 << width) - 1

    def fresh(self, counter: int) -> bool:
        """Was it not there yet, as far as is known? What is behind the window counts as seen."""
        behind = self._highest - counter
        return behind < 0 or (behind < self._mask.bit_length() and not self._seen >> behind & 1)

    def add(self, counter: int) -> None:
        """It was there, and was genuine."""
        ahead = counter - self._highest
        if ahead <= 0:
            self._seen |= 1 << -ahead
            return
        # A jump over the whole window leaves one bit; shifting by such a number would take all memory there is.
        self._seen = ((self._seen << ahead | 1) & self._mask) if ahead <= self._mask.bit_length() else 1
        self._highest = counter
