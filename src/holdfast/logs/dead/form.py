# SPDX-License-Identifier: Apache-2.0
r"""A dead line as one line of JSON, and back, without losing a byte. Pure.

::

    {"id": "9f86…", "source": {…}, "offset": 4096, "length": 8, "raw": "no json\n", "reason": "not_json", …}

Bytes that are UTF-8 stay readable; others are written as ``{"b64": "…"}``.
"""

from __future__ import annotations

import base64
from typing import Any

import msgspec

from ..._base.typed import converted
from ...errors import LetterInvalid
from ..dead_lines import DeadLine

_encode = msgspec.json.Encoder().encode


def written(line: DeadLine) -> bytes:
    """One line, without its newline."""
    found = msgspec.to_builtins(line, builtin_types=(bytes,))
    found["raw"] = _text(line.raw)
    return _encode(found)


def read(text: bytes) -> DeadLine:
    """The dead line. LetterInvalid says what is wrong with the text."""
    try:
        return of_builtins(msgspec.json.decode(text))
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise LetterInvalid(f"not a dead line: {error}") from error


def of_builtins(said: Any) -> DeadLine:
    """The dead line of an object as ``written`` writes it. Raises LetterInvalid."""
    try:
        return converted({**said, "raw": _bytes(said["raw"])}, DeadLine)
    except (msgspec.ValidationError, KeyError, TypeError, ValueError) as error:
        raise LetterInvalid(f"not a dead line: {error}") from error


def _text(raw: bytes) -> str | dict[str, str]:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(raw).decode()}


def _bytes(said: Any) -> bytes:
    if isinstance(said, str):
        return said.encode()
    return base64.b64decode(said["b64"], validate=True)
