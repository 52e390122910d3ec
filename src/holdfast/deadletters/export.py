# SPDX-License-Identifier: Apache-2.0
"""Letters as JSON lines, and back, without losing a byte. Pure.

A line is one object::

    {"id": …, "stream": …, "group": …, "entry_id": …, "reason": …, "fields": [["x-dlq-spec-version", "1"], …]}

``fields`` is the letter's whole entry in its order, metadata and message. Text stays text; what is not UTF-8 is written
as ``{"b64": "…"}``.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import msgspec

from .letters import LetterInfo


def exported(letter: LetterInfo) -> dict[str, Any]:
    """One line's object."""
    pairs = zip(letter.raw[::2], letter.raw[1::2], strict=True)
    return {"id": letter.id, "stream": letter.stream, "group": letter.group, "entry_id": letter.entry_id,
            "reason": letter.reason, "fields": [[written(name), written(value)] for name, value in pairs]}


def fields_of(line: bytes | str) -> list[bytes]:
    """The entry of an exported line, byte for byte: flat ``[field, value, …]``."""
    pairs: Sequence[Sequence[Any]] = msgspec.json.decode(line)["fields"]
    return [_read(part) for pair in pairs for part in pair]


def written(raw: bytes) -> str | dict[str, str]:
    """Text as text, anything else marked."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(raw).decode()}


def _read(value: str | dict[str, str]) -> bytes:
    return value.encode() if isinstance(value, str) else base64.b64decode(value["b64"], validate=True)
