# SPDX-License-Identifier: Apache-2.0
"""Text as letters hold it: always UTF-8, times in one form, cut where they must be and never inside a character.

Nothing here raises, whatever it is given: a letter is written when something has gone wrong already.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MS = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z, the last time that has four digits of year


def utf8(text: str) -> bytes:
    r"""``text`` as UTF-8; lone surrogates become ``\udc80`` in letters, so that nothing is refused and nothing is
    lost."""
    return text.encode("utf-8", "backslashreplace")


def readable(raw: bytes) -> str:
    r"""``raw`` as text; bytes that are no UTF-8 become ``\\xff`` in letters."""
    return raw.decode("utf-8", "backslashreplace")


@lru_cache(256)  # many letters are written in one ms
def iso(ms: int) -> str:
    """Milliseconds since 1970 as ``2026-11-22T07:13:06.123Z``; before 1970 and after 9999 are taken to those ends."""
    moment = _EPOCH + timedelta(milliseconds=min(max(ms, 0), _LAST_MS))
    return moment.isoformat(timespec="milliseconds")[:-6] + "Z"


def ms_of(text: str) -> int | None:
    """What ``iso`` made, back as milliseconds. Other ISO-8601 forms with an offset are read too; None for anything
    else."""
    try:
        moment = datetime.fromisoformat(text)
        return (moment - _EPOCH) // timedelta(milliseconds=1)
    except (ValueError, TypeError, OverflowError):
        return None


def number(text: str | None) -> int:
    """A decimal of at most 19 digits, or 0."""
    return int(text) if text and len(text) <= 19 and text.isascii() and text.isdigit() else 0


def pairs(fields: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """``[field, value, …]`` two by two. A last field without value, which no stream can hold, gets an empty one."""
    flat = [*fields, b""] if len(fields) % 2 else fields
    return zip(flat[::2], flat[1::2], strict=True)


def cut(text: str, max_bytes: int, *, middle: bool = False) -> str:
    """``text`` in at most ``max_bytes`` of UTF-8, with a mark that says how much is missing.

    The end goes, or with ``middle`` the middle: of a stack both ends matter. Below the size of a mark only text
    remains.
    """
    raw = utf8(text)
    if len(raw) <= max_bytes:
        return raw.decode()
    room = max_bytes - len(f"…[{len(raw)} bytes cut]".encode())
    if room <= 0:
        return raw[:max(max_bytes, 0)].decode("utf-8", "ignore")
    tail_bytes = room * 2 // 3 if middle else 0  # the end of a stack is where it broke
    head = raw[:room - tail_bytes].decode("utf-8", "ignore")
    tail = raw[len(raw) - tail_bytes:].decode("utf-8", "ignore")
    return f"{head}…[{len(raw) - len(head.encode()) - len(tail.encode())} bytes cut]{tail}"
