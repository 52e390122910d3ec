# SPDX-License-Identifier: Apache-2.0
"""Texts that come again and again, as numbers: those of a page at once. Pure.

A text of 8 to 64 bytes is some words, of which the last one ends where it ends. A sum of these chooses a slot, and what
is in the slot is compared word by word: a text is never known by its sum. What is new, or finds its slot taken, is
looked up one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .page import WORD

if TYPE_CHECKING:
    from .page import Array, Page

#: Texts that are known by their words: how long at most, how many, and the bits of their slots.
_LONGEST, _KEPT, _BITS = 64, 4_000, 14
#: Odd numbers with bits everywhere, one for each word.
_FACTORS = [(0x9E3779B97F4A7C15 * (2 * n + 1) ^ n << 33) % (1 << 64) | 1 for n in range(_LONGEST // WORD)]


class Texts:
    """number: of a text, asked once a text and remembered."""

    def __init__(self, number: Callable[[bytes], int]) -> None:
        self._number = number
        self._numbers: dict[bytes, int] = {}
        self._slots: Array | None = None

    def numbers(self, page: Page, begin: Array, end: Array) -> Array:
        """Of texts in a page."""
        np = page.np
        size = end - begin
        if not len(size) or int(size.min()) < WORD or int(size.max()) > _LONGEST:
            return self._one_by_one(page, begin, end)
        if self._slots is None:  # the row 0 is no text's: it has no size
            self._slots, self._free = np.zeros(1 << _BITS, dtype=np.intp), 1
            self._rows = np.zeros((2, _KEPT), dtype=np.int64)
            self._words = np.zeros((_LONGEST // WORD, _KEPT), dtype=np.uint64)
        shortest = int(size.min())
        last, place, total = end - WORD, begin.copy(), size.astype(np.uint64)
        words = []
        for n in range(-(-int(size.max()) // WORD)):
            word = page.words[np.minimum(place, last)]
            words.append(word)
            word = word * np.uint64(_FACTORS[n])
            total += word if shortest > n * WORD else np.where(place < end, word, np.uint64(0))
            place += WORD
        slots = (total >> np.uint64(64 - _BITS)).astype(np.intp)
        rows = self._slots[slots]
        same = self._rows[0][rows] == size
        for n, word in enumerate(words):
            same &= self._words[n][rows] == word  # guard: a text is known by all of its bytes
        found: Array = self._rows[1][rows]
        new = np.flatnonzero(~same)
        if len(new):
            found[new] = self._one_by_one(page, begin[new], end[new])
            self._keep(new, slots, size, words, found)
        return found

    def _one_by_one(self, page: Page, begin: Array, end: Array) -> Array:
        text, numbers = page.text, self._numbers
        said = [text[one:other] for one, other in zip(begin.tolist(), end.tolist(), strict=True)]
        for one in set(said).difference(numbers):
            numbers[one] = self._number(one)
        found: Array = page.np.fromiter(map(numbers.__getitem__, said), dtype=page.np.int64, count=len(said))
        return found

    def _keep(self, new: Array, slots: Array, size: Array, words: list[Array], found: Array) -> None:
        assert self._slots is not None  # noqa: S101 - it was made when they were looked for
        for n in new.tolist():
            if self._free == _KEPT:
                return
            if not self._slots[slots[n]]:
                self._slots[slots[n]] = self._free
                self._rows[:, self._free] = size[n], found[n]
                for place in range(len(self._words)):  # behind its own end, a text's last word again
                    self._words[place, self._free] = words[min(place, len(words) - 1)][n]
                self._free += 1
