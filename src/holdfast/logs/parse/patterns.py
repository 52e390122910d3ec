# SPDX-License-Identifier: Apache-2.0
r"""Text by a pattern: one that is known by its name, or one's own with named groups.

Known ones: ``common`` and ``combined`` (access logs of Apache and nginx), ``syslog`` (RFC 3164), ``level`` (a time, a
level, a message, as most frameworks write). They are anchored, and no two parts of them that repeat can match the same
character, so that they take linear time. One's own goes through RE2.

Flaws: ``nul``, ``bad_utf8``, ``no_match``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from ..line import Line
from ..linear import grouper
from .flaw import Flaw, readable_text

__all__ = ["NAMED", "Patterns"]

_COMMON = (r'(?P<host>\S+) (?P<ident>\S+) (?P<user>\S+) \[(?P<time>[^\]]*)\] "(?P<request>(?:[^"\\]|\\.)*)" '
           r"(?P<status>\d{3}) (?P<bytes>\d+|-)")
_QUOTED = r'"(?P<{}>(?:[^"\\]|\\.)*)"'
_TIME = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?"

NAMED: Final[dict[str, str]] = {
    "common": _COMMON,
    "combined": f"{_COMMON} {_QUOTED.format('referer')} {_QUOTED.format('agent')}",
    "syslog": r"(?:<(?P<priority>\d{1,3})>)?(?P<time>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d) (?P<host>\S+) "
              r"(?P<app>[^\s:\[]+)(?:\[(?P<pid>\d+)\])?: (?P<message>.*)",
    "level": rf"(?P<time>{_TIME}) \[?(?P<level>[A-Za-z]+)\]?:? (?P<message>.*)",
}


class Patterns:
    """Decodes lines of text by ``pattern``: a name of ``NAMED``, or a pattern of one's own. Groups that match nothing
    are left out."""

    wants_first = False

    def __init__(self, *, pattern: str) -> None:
        self._match = _named(NAMED[pattern]) if pattern in NAMED else grouper(pattern)

    def begin(self, source_id: str, first: bytes) -> None:
        """Nothing has to be known."""

    def decode(self, line: Line, content: bytes) -> dict[str, Any] | Flaw | None:
        """See ``Decoder``."""
        text = readable_text(content)
        if isinstance(text, Flaw):
            return text
        found = self._match(text)
        if found is None:
            return Flaw(reason="no_match", at_byte=0, detail="the pattern does not match")
        return {name: value for name, value in found.items() if value is not None}


def _named(text: str) -> Callable[[str], Mapping[str, str | None] | None]:
    pattern = re.compile(text, re.DOTALL | re.ASCII)

    def groups(subject: str) -> Mapping[str, str | None] | None:
        found = pattern.fullmatch(subject)
        return None if found is None else found.groupdict()

    return groups
