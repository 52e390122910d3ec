# SPDX-License-Identifier: Apache-2.0
"""Some whole lines as arrays: where its quotes and lines are, and what stands at many places at once. Pure.

A page knows bytes, not JSON. Eight bytes at any place are one number, so that a text is compared, and digits become a
number, with a few operations for all lines together.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from ..formats.strict import INT_MAX
from .counting import is_text

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

WORD = 8
#: Digits of the largest number, and how many bytes before a number's end are looked at.
DIGITS_MAX, BEFORE = 19, 24
_ZEROS, _SIX, _TOP, _ONES = (int(byte * WORD, 16) for byte in ("30", "76", "80", "ff"))
#: Pairs of digits, then of twos, then of fours: factors, shifts and what is kept.
_JOINED = ((10 << 8 | 1, 8, 0x00FF00FF00FF00FF), (100 << 16 | 1, 16, 0x0000FFFF0000FFFF),
           (10_000 << 32 | 1, 32, 0x00000000FFFFFFFF))
#: Words of one value that are remembered, and the longest of them.
_WORDS_MAX, _LONGEST = 12, 3 * WORD
_NEW = -2


#: What malloc asks the system for separately, by default, and gives back at once.
_LARGE = 16 << 20


def keep_memory(numpy: Any) -> None:
    """Has the pages' arrays use the same memory again and again: to ask the system anew for each took a fourth of the
    time. glibc raises its bounds once something large was freed; elsewhere this does nothing."""
    numpy.empty(_LARGE, dtype=numpy.uint8)


class Page:
    """text: lines, each with its line feed; a word at least."""

    def __init__(self, numpy: Any, text: bytes) -> None:
        self.np, self.text = numpy, text
        self.bytes: Array = numpy.frombuffer(text, dtype=numpy.uint8)
        #: The word that begins at each byte, the first byte lowest.
        self.words: Array = numpy.ndarray((len(text) - WORD + 1,), "<u8", text, 0, (1,))
        self.quotes: Array = numpy.flatnonzero(self.bytes == 34)

    @cached_property
    def ends(self) -> Array:
        """Behind each line's line feed."""
        found: Array = self.np.flatnonzero(self.bytes == 10)
        found += 1
        return found

    @cached_property
    def begins(self) -> Array:
        """Of lines."""
        found: Array = self.np.roll(self.ends, 1)
        found[:1] = 0
        return found

    def is_even(self, lines: int) -> bool:
        """Whether no line is odd, of so many."""
        return bool(self.np.count_nonzero(self.bytes < 32) == lines and b"\\" not in self.text
                and (self.text.isascii() or is_text(self.text)))

    def odd(self) -> Array:
        """Of each line, whether quotes and bytes say less of it than they seem to: something is escaped, is no text,
        or must be."""
        np = self.np
        found: Array = np.zeros(len(self.ends), dtype=bool)

        def mark(where: Array) -> None:
            found[self.line_of(np.flatnonzero(where))] = True

        low = self.bytes < 32
        if np.count_nonzero(low) > len(self.ends):
            mark(low & (self.bytes != 10))  # guard: no text has a control character
        if b"\\" in self.text:
            mark(self.bytes == 92)  # guard: a quote that is escaped ends no text
        if not self.text.isascii() and not is_text(self.text):
            mark(self.bytes >= 128)  # guard: what is no UTF-8 is no text
        return found

    def line_of(self, places: Array) -> Array:
        """The numbers of the lines, from 0, in which these bytes stand."""
        found: Array = self.np.searchsorted(self.ends, places, side="right")
        return found

    def numbers(self, begin: Array, end: Array, largest: int = INT_MAX) -> tuple[Array, Array]:
        """What stands there as whole numbers of 64 bits, and whether it is one: digits, without zeros before them, not
        beyond ``largest``. BEFORE bytes stand before every end."""
        np = self.np
        size = end - begin
        sure = (size > 0) & (size <= DIGITS_MAX)
        if not sure.all():
            size, end = np.where(sure, size, 1), np.where(sure, end, BEFORE)
        longest, is_one = int(size.max(initial=0)), int(size.max(initial=0)) == int(size.min(initial=DIGITS_MAX))
        value = np.zeros(size.shape, dtype=np.uint64)
        for behind, unit in ((0, 1), (WORD, 10 ** 8), (2 * WORD, 10 ** 16)):
            if behind >= longest:
                break
            word = self.words[end - (behind + WORD)]
            if not is_one:
                word = _only(np, word, np.clip(size - behind, 0, WORD).astype(np.uint64))
            elif longest < behind + WORD:
                word = _only(np, word, np.uint64(longest - behind))
            word ^= np.uint64(_ZEROS)
            odd = word + np.uint64(_SIX)
            odd |= word
            odd &= np.uint64(_TOP)
            if odd.any():
                sure &= odd == 0  # guard: nothing but digits is a number
            value += _joined(np, word) * np.uint64(unit)
        sure &= value <= np.uint64(largest)  # guard: no number is beyond 64 bits
        sure &= (size == 1) | (self.bytes[end - size] != 48)  # guard: JSON has no zeros before a number
        return value.astype(np.int64), sure


def _only(np: Any, word: Array, digits: Any) -> Array:
    """The last bytes of each word, so many; the others become zeros, as digits."""
    mask = np.left_shift(np.uint64(_ONES), (np.uint64(WORD) - digits) << np.uint64(3))
    found: Array = (word & mask) | (np.uint64(_ZEROS) & ~mask)
    return found


def _joined(np: Any, word: Array) -> Array:
    """The numbers of eight digits that these words hold, a digit a byte."""
    if len(word) and (word == word[0]).all():  # as the first digits of times are
        word = word[:1]
    for factor, shift, kept in _JOINED:
        word = word * np.uint64(factor)
        word >>= np.uint64(shift)
        word &= np.uint64(kept)
    return word


class Words:
    """What a value may say, where it says few things. ask: what a text means, 0 or more; -1 where it may not stand."""

    def __init__(self, ask: Callable[[bytes], int]) -> None:
        self._ask = ask
        self._known: list[_Word] = []

    def meanings(self, page: Page, begin: Array, end: Array) -> Array:
        """Of each text; -1 for what is not known. WORD bytes stand before every end."""
        np = page.np
        size = end - begin
        longest = int(size.max(initial=0))
        found: Array = np.full(size.shape, _NEW, dtype=np.int8)
        missing = WORD - size
        if longest > WORD:
            missing = np.maximum(missing, 0)
        looked = [page.words[end - WORD] >> (missing << 3).astype(np.uint64)]
        looked += [page.words[np.minimum(begin + behind, end - WORD)]
                   for behind in range(0, min(longest, _LONGEST) - WORD, WORD)]
        if longest > _LONGEST:
            found[size > _LONGEST] = -1
        for word in self._known:
            word.mark(found, size, looked)
        while (new := np.flatnonzero(found == _NEW)).size:
            if len(self._known) == _WORDS_MAX:
                found[new] = -1
                break
            n = int(new[0])
            said = page.text[int(begin[n]):int(end[n])]
            word = _Word(len(said), [int(one[n]) for one in looked[:-(-len(said) // WORD) or 1]], self._ask(said))
            self._known.append(word)
            word.mark(found, size, looked)
        return found


class _Word(NamedTuple):
    """parts: its last bytes, then its first ones, as many words as it takes."""

    size: int
    parts: list[int]
    meaning: int

    def mark(self, found: Array, size: Array, looked: list[Array]) -> None:
        """Every text that is this word."""
        if len(self.parts) <= len(looked):
            same = size == self.size
            for part, words in zip(self.parts, looked, strict=False):
                same &= words == part  # guard: a word is known by all of its bytes
            found[same] = self.meaning
