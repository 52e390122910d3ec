# SPDX-License-Identifier: Apache-2.0
"""Metadata within its caps, so that writing a letter cannot fail for size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from ..errors import ConfigurationError
from .letter import BY_NAME, ROWS, Row
from .letter_text import cut, utf8

_MESSAGE, _STACK = BY_NAME["exception-message"], BY_NAME["exception-stacktrace"]
_LISTS: Final = (BY_NAME["truncated-fields"], BY_NAME["redacted"])
_NEEDS: Final = ("required", "recommended", "optional")
_UNKNOWN_MAX: Final = 4096
#: Bytes that metadata may always need: required rows at their caps under the longest prefix, and the two lists.
MIN_TOTAL: Final = 2560


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Caps of a letter's metadata, in bytes. The payload is not counted: the server has taken it once already.

    ``total`` is for names and values together; a smaller one keeps letters small and costs the optional fields first.
    ``message`` and ``stack`` lower the specification's own caps (1,024 and 8,192), they never raise them.
    """

    total: int = 32_768
    message: int = _MESSAGE.max_bytes
    stack: int = _STACK.max_bytes

    def __post_init__(self) -> None:
        if self.total < MIN_TOTAL:
            raise ConfigurationError(f"letters need a budget of at least {MIN_TOTAL} bytes, not {self.total}")

    def cap(self, row: Row) -> int:
        """The cap of ``row`` under these limits."""
        if row is _MESSAGE or row is _STACK:
            return max(0, min(row.max_bytes, self.message if row is _MESSAGE else self.stack))
        return row.max_bytes


class _Slot(NamedTuple):
    """What there is to know of a row, once a prefix and limits are known; ``place`` is its place in the letter."""

    place: int
    name: str
    key: bytes
    cap: int
    may_cut: bool
    middle: bool


@lru_cache(64)
def _slots(prefix: str, limits: Limits) -> tuple[_Slot, ...]:
    """Every row that is fitted, the most needed first."""
    slots = [(_NEEDS.index(row.need), _Slot(place, row.name, utf8(prefix + row.name), limits.cap(row),
                                            row.type == "string" and not row.pattern, row.cut == "middle"))
             for place, row in enumerate(ROWS) if row not in _LISTS and row.name != "original-headers"]
    return tuple(slot for _, slot in sorted(slots))


def fit(values: Mapping[str, str], prefix: str, limits: Limits, masked: Sequence[str] = ()) -> list[bytes]:
    """Metadata as flat fields within the limits, in the table's order; empty values are left out.

    When the budget runs short, required rows come first, then recommended, then optional, then names this version does
    not know. Text that is too long is cut; anything else too long is left out, since half a number is another number.
    """
    left = limits.total - sum(len(prefix) + len(row.name) + row.max_bytes for row in _LISTS)
    written: list[tuple[int, bytes, bytes]] = []
    too_long: list[str] = []
    unknown = (_Slot(len(ROWS), n, utf8(prefix + n), _UNKNOWN_MAX, False, False) for n in values if n not in BY_NAME)
    for slot in (*_slots(prefix, limits), *unknown):
        text = values.get(slot.name)
        if not text:
            continue
        raw = utf8(text)
        room = min(slot.cap, left - len(slot.key))
        if len(raw) > room:
            too_long.append(slot.name)
            raw = utf8(cut(text, room, middle=slot.middle)) if slot.may_cut and room >= 16 else b""
        if raw:
            written.append((slot.place, slot.key, raw))
            left -= len(slot.key) + len(raw)
    for row, names in zip(_LISTS, (too_long, masked), strict=True):
        if names:
            written.append((ROWS.index(row), utf8(prefix + row.name), utf8(cut(",".join(names), row.max_bytes))))
    written.sort()
    return [part for _, key, raw in written for part in (key, raw)]
