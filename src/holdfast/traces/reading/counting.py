# SPDX-License-Identifier: Apache-2.0
"""Lines of one shape, known by counting: see ``flat`` for why counting is enough. Pure.

A stretch is counted as a whole with numpy, at the speed of memory; only one whose sums do not fit is looked at line by
line.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ..formats.strict import BOM

if TYPE_CHECKING:
    import numpy as np

_SPACED = re.compile(rb'"[\x00-\x20]')
_CONTROL = re.compile(rb"[\x00-\x1f]")
_TEXT = re.compile(rb'"[^"]*"')
_NO_STRUCTURE = bytes(set(range(256)) - set(b'"{}[]\n'))
_EMPTY = b", \t\r\n"


class Form:
    """What a line of the shape has. keys, texts: as in Flat. numpy: the module."""

    def __init__(self, numpy: Any, keys: int, texts: int) -> None:
        self._np = numpy
        self.marks = keys
        self.quotes = 2 * keys + 2 * texts

    def fits_all(self, stretch: bytes) -> bool:
        """Whether every line of ``stretch``, which ends with a line feed, fits, if each of them is an object."""
        count = self._np.count_nonzero
        a: np.ndarray[Any, Any] = self._np.frombuffer(stretch, dtype=self._np.uint8)
        lines = stretch.count(b"\n")
        behind = a[1:]
        quotes = a == 34
        if count(quotes) != self.quotes * lines:  # guard: a number for a text, or a text for a number
            return False
        before = quotes[:-1]
        if count(before & (behind == 58)) != self.marks * lines:  # guard: a key twice, or one that is not known
            return False
        if count(before & (behind <= 32)) or count(a < 32) != lines or b"\\" in stretch:
            return False
        if (count((a | 32) == 123) != lines or count(a == 125) != lines) and not self._is_flat(stretch, lines):
            return False  # guard: nothing is nested
        ends = (a[:-1] == 125) & (behind == 10)
        odd = (a <= 32) | (a == 44)
        if count(ends) != lines or count(odd[:-2] & ends[1:]):  # guard: no comma before the end
            return False
        return stretch.isascii() or is_text(stretch)

    def _is_flat(self, stretch: bytes, lines: int) -> bool:
        """Whether each line has two brackets outside of texts, and others only inside, as routes have: ``/{id}``."""
        a = self._np.frombuffer(stretch.translate(None, _NO_STRUCTURE), dtype=self._np.uint8)
        quotes = a == 34
        outside = ~self._np.logical_xor.accumulate(quotes) & ~quotes
        found: bytes = a[outside].tobytes()
        return found == b"{}\n" * lines

    def each(self, lines: list[bytes]) -> list[bool]:
        """The same of some lines, without their line feeds."""
        return list(map(self.fits, lines))

    def weight(self, stretch: bytes) -> tuple[int, int]:
        """The shape says everything of such lines."""
        return 0, 0

    def fits(self, line: bytes) -> bool:
        """The same of one line, without its line feed."""
        return (line.endswith(b"}") and line[-2:-1] not in _EMPTY and line.count(b'"') == self.quotes
                and line.count(b'":') == self.marks and b"\\" not in line and _is_flat(line)
                and not _SPACED.search(line) and not _CONTROL.search(line) and (line.isascii() or is_text(line)))


def _is_flat(line: bytes) -> bool:
    if line.count(b"{") + line.count(b"[") != 1 or line.count(b"}") != 1 or b"]" in line:
        line = _TEXT.sub(b"", line)
    return line.count(b"{") + line.count(b"[") == 1 and line.count(b"}") == 1 and b"]" not in line


def is_text(raw: bytes) -> bool:
    """Whether these are UTF-8, without a byte order mark."""
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return BOM not in raw
