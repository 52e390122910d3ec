# SPDX-License-Identifier: Apache-2.0
r"""logfmt: ``level=info msg="it works" retry``: keys, values with or without quotes, keys alone, which are true.

Flaws: ``nul``, ``bad_utf8``, ``unclosed_quote``, ``duplicate_key``, ``not_logfmt`` (no pair at all, or a quote in the
middle of a word). Each character is looked at once.
"""

from __future__ import annotations

import re
from typing import Any, Final

from ..line import Line
from .flaw import Flaw, readable_text

__all__ = ["Pairs"]

_KEY: Final = re.compile(r'[^\s="]+')
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*)"')
_BARE: Final = re.compile(r'[^\s"]*')
_SPACE: Final = re.compile(r"\s*")
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_MEANT: Final = {"n": "\n", "t": "\t", "r": "\r"}


class Pairs:
    """Decodes lines of logfmt."""

    wants_first = False

    def begin(self, source_id: str, first: bytes) -> None:
        """Nothing has to be known."""

    def decode(self, line: Line, content: bytes) -> dict[str, Any] | Flaw | None:
        """See ``Decoder``."""
        text = readable_text(content)
        if isinstance(text, Flaw):
            return text
        if "=" not in text:
            return Flaw(reason="not_logfmt", detail="no key=value in it")
        return self._fields(text)

    def _fields(self, text: str) -> dict[str, Any] | Flaw:
        fields: dict[str, Any] = {}
        at, end = _behind_space(text, 0), len(text)
        while at < end:
            key = _KEY.match(text, at)
            if key is None:
                return self._flaw(text, at, "not_logfmt", "no key")
            if key[0] in fields:
                return self._flaw(text, at, "duplicate_key", f"the key {key[0][:80]!r} stands twice")
            value, at = self._value(text, key.end())
            if isinstance(value, Flaw):
                return value
            fields[key[0]] = value
            if at < end and not text[at].isspace():
                return self._flaw(text, at, "not_logfmt", "no space after a value")
            at = _behind_space(text, at)
        return fields

    def _value(self, text: str, at: int) -> tuple[Any, int]:
        if not text.startswith("=", at):
            return True, at
        if text.startswith('"', at + 1):
            quoted = _QUOTED.match(text, at + 1)
            if quoted is None:
                return self._flaw(text, at + 1, "unclosed_quote", "a quote that does not end"), at
            return _ESCAPED.sub(lambda found: _MEANT.get(found[1], found[1]), quoted[1]), quoted.end()
        bare = _BARE.match(text, at + 1)
        return (bare[0], bare.end()) if bare else ("", at + 1)

    @staticmethod
    def _flaw(text: str, at: int, reason: str, detail: str) -> Flaw:
        return Flaw(reason=reason, at_byte=len(text[:at].encode()), detail=detail)


def _behind_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at
