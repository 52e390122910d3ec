# SPDX-License-Identifier: Apache-2.0
"""Field values made safe to write: short, one line's worth, and never a payload.

No event carries a payload, but a sink also hears events of later versions and of users. Bytes are therefore told by
their length and unknown objects by their type, never by their ``repr``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from .._base.clock import WallMs

#: Characters of a text that are kept; an error message that quotes a whole body ends here.
TEXT_MAX = 1_000
#: Elements of a list that are kept. ``Settled.handle_s`` holds one number a delivery.
LIST_MAX = 1_000


def text(value: str, limit: int = TEXT_MAX) -> str:
    """``value`` as valid Unicode of at most ``limit`` characters. Stream names may hold bytes that are no UTF-8."""
    short = value if len(value) <= limit else value[: limit - 1] + "…"
    return short if short.isascii() else short.encode("utf-8", "backslashreplace").decode()


def plain(value: Any, depth: int = 3) -> Any:
    """``value`` as JSON types."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return text(str(value))
    if isinstance(value, int | float):
        return _number(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    return _collection(value, depth) if depth else _unknown(value)


def _number(value: float) -> int | float | None:
    if isinstance(value, int):
        # Beyond 64 bits readers of JSON disagree about what they saw.
        return int(value) if -(2**63) <= value < 2**63 else None
    return value if math.isfinite(value) else None


def _collection(value: Any, depth: int) -> Any:
    if isinstance(value, Mapping):
        return {text(str(k)): plain(v, depth - 1) for k, v in islice(value.items(), LIST_MAX)}
    if isinstance(value, list | tuple):
        return [plain(v, depth - 1) for v in value[:LIST_MAX]]
    return _unknown(value)


def _unknown(value: Any) -> str:
    return f"<{type(value).__name__}>"


def iso_ms(wall: WallMs) -> str:
    """UTC in ISO 8601 with milliseconds, as in dead letters: ``2026-11-22T07:00:00.123Z``."""
    seconds, ms = divmod(wall, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ms:03d}Z"
