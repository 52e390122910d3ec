# SPDX-License-Identifier: Apache-2.0
"""Patterns that are matched in linear time, whatever they are given: RE2.

What a dead letter says was written by whoever made the message fail. A backtracking engine can be kept busy for years
by thirty characters of it (``(a+)+$``), and would stand still for every letter of that kind. So ``re`` is not used
here, not even for patterns that look harmless. RE2 knows neither look-around nor back references: those are refused
when the file is read. Source: R. Cox, "Regular Expression Matching in the Wild" (2010).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ..._base.linear import compiled, options_of
from ...errors import MissingExtra

#: Characters of a text that are looked at: an error's message is capped at 1 kB, a field may be as long as it likes.
TEXT_MAX: Final = 65_536

Pattern = Callable[[str], bool]


def pattern(text: str) -> Pattern:
    """Says whether the pattern is found anywhere in a text.

    Raises ConfigurationError for what RE2 cannot match in linear time, MissingExtra where it is not installed.
    """
    try:
        import re2
    except ImportError as error:
        raise MissingExtra("dlq", "matching patterns in rules") from error
    known = compiled(re2, text, options_of(re2, never_capture=True))

    def found(text: str) -> bool:
        return known.search(text[:TEXT_MAX].encode("utf-8", "replace").decode()) is not None

    return found
