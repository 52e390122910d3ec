# SPDX-License-Identifier: Apache-2.0
"""A letter's whole entry as bytes, to be kept by their hash, and back. Pure."""

from __future__ import annotations

import msgspec

from ..._base.message import F_BODY
from ..export import exported, fields_of
from ..letters import LetterInfo


def packed(letter: LetterInfo) -> bytes:
    """The line that ``dlq export`` would write of it."""
    return msgspec.json.encode(exported(letter))


def unpacked(line: bytes) -> list[bytes]:
    """The entry, byte for byte, flat: ``[field, value, …]``."""
    return fields_of(line)


def body_of(letter: LetterInfo) -> bytes:
    """The body of its message; empty where it has none."""
    return next((letter.fields[i + 1] for i in range(0, len(letter.fields) - 1, 2) if letter.fields[i] == F_BODY), b"")
