# SPDX-License-Identifier: Apache-2.0
"""An effect as the scripts read it (``lua/effect.lua``): commands that write, and commands whose answers must still be
what they were.

Answers are compared by a digest that both sides make. Lua knows one kind of number and one kind of nothing, so a number
is written as it prints there, and a missing value, a missing list and false are the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

#: A command as it is sent: name, key, arguments.
Words = tuple[bytes, ...]
#: A command that was asked, and a digest of its answer.
Read = tuple[Words, bytes]

_encode = msgspec.msgpack.Encoder().encode


def fields(result: bytes, reads: Sequence[Read], writes: Sequence[Words], touched: dict[bytes, None], parts: list[Any]
           ) -> None:
    """Adds to ``parts`` what describes one effect, and to ``touched`` every key it touches."""
    parts += (result, len(reads))
    for words, found in reads:
        touched[words[1]] = None
        parts += (found, len(words), *words)
    parts.append(len(writes))
    for words in writes:
        touched[words[1]] = None
        parts.append(len(words))
        parts += words


def packed(flat: Sequence[Any]) -> bytes:
    """Names, numbers and words as one argument: an argument each costs both sides many times as much.

    Scripts read MessagePack as it was before it told text from bytes, so bytes go as text; what is no UTF-8, by hand.
    """
    try:
        return _encode([part.decode() if type(part) is bytes else part for part in flat])
    except UnicodeError:
        return b"\xdd" + len(flat).to_bytes(4, "big") + b"".join(map(_part, flat))


def _part(part: Any) -> bytes:
    if isinstance(part, int):
        return _encode(part)
    raw = part if isinstance(part, bytes) else part.encode("utf-8", "surrogatepass")
    return b"\xdb" + len(raw).to_bytes(4, "big") + raw


def told(answer: Any) -> bytes:
    """An answer as one string: ``$5:value``, ``:7``, ``_``, ``*2`` and its parts, or ``-`` for an error."""
    if isinstance(answer, bytes):
        return b"$%d:%s" % (len(answer), answer)
    if isinstance(answer, list):
        return b"*%d" % len(answer) + b"".join(map(told, answer))
    if answer is None or answer is False:
        return b"_"
    if isinstance(answer, int):
        return f":{float(answer):.0f}".encode()
    return b"-" if isinstance(answer, Exception) else told(str(answer).encode())


def digest(answer: Any) -> bytes:
    """SHA-1 of it, hex: what Lua has at hand. It tells a changed answer from the same one, and guards no secret."""
    return hashlib.sha1(told(answer), usedforsecurity=False).hexdigest().encode()
