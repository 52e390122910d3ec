# SPDX-License-Identifier: Apache-2.0
"""Why a line is not what a parser takes it for, and what a decoder is."""

from __future__ import annotations

from typing import Any, Final, Protocol

import msgspec

from ..line import Line

__all__ = ["BOM", "Decoder", "Flaw", "readable_text"]

BOM: Final = b"\xef\xbb\xbf"


class Flaw(msgspec.Struct, frozen=True, kw_only=True):
    """``reason``: short and stable; ``at_byte``: where in the content, or -1; ``detail``: for people."""

    reason: str
    at_byte: int = -1
    detail: str = ""


class Decoder(Protocol):
    """The bytes of a line into fields. Never raises for what a line holds."""

    #: Does it have to know a source's first line to read the others?
    wants_first: bool

    def begin(self, source_id: str, first: bytes) -> None:
        """Lines of this source are to come; ``first`` is its first line's content."""
        ...

    def decode(self, line: Line, content: bytes) -> dict[str, Any] | Flaw | None:
        """The fields; why there are none; or None for a line that holds no record. ``content`` is without terminator,
        and without the mark of its encoding at the start of a file."""
        ...


def readable_text(content: bytes) -> str | Flaw:
    """The content as text: UTF-8, without NUL."""
    at = content.find(b"\0")
    if at >= 0:
        return Flaw(reason="nul", at_byte=at, detail="a zero byte")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        return Flaw(reason="bad_utf8", at_byte=error.start, detail=error.reason)
