# SPDX-License-Identifier: Apache-2.0
"""Times, amounts and names as the screens write them. Pure; what becomes markup is escaped here."""

from __future__ import annotations

import datetime as dt
import re
from typing import Final

import msgspec
from markupsafe import Markup

_STEPS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
_SIZES: Final = ("bytes", "KiB", "MiB", "GiB")
#: 9999-12-31, as ms since 1970: what lies behind it is no time.
_LAST_MS: Final = 253_402_300_799_999
#: A SHA-256 is known by its beginning.
_HASH: Final = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")
#: Reasons and states are written with ``_`` by machines.
_UNDERSCORES: Final = re.compile("_+")


def lasting(seconds: float) -> str:
    """A duration in its two largest units: ``2 h 5 min``."""
    left = max(0, round(seconds))
    if left < 1:
        return "0 s"
    parts: list[str] = []
    for size, unit in _STEPS:
        if left >= size and len(parts) < 2:
            parts.append(f"{left // size} {unit}")
            left %= size
        elif parts:
            break
    return " ".join(parts)


def ago(ms: int, now_ms: int) -> str:
    """How far away a time is, seen from now."""
    away = (now_ms - ms) / 1000
    if abs(away) < 1:
        return "now"
    return f"{_rough(away)} ago" if away > 0 else f"in {_rough(-away)}"


def _rough(seconds: float) -> str:
    return " ".join(lasting(seconds).split()[:2])


def stamp(ms: int) -> str:
    """A time as ISO 8601 in UTC; empty for none."""
    if not 0 < ms <= _LAST_MS:
        return ""
    at = dt.datetime.fromtimestamp(ms // 1000, dt.UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}Z"


def when(ms: int, now_ms: int) -> Markup:
    """A time as an element: UTC, with how long ago it was."""
    iso = stamp(ms)
    if not iso:
        return Markup('<span class="none">–</span>')
    text = iso.replace("T", " ").removesuffix("Z")
    return Markup('<time datetime="{}">{} <abbr title="Coordinated Universal Time">UTC</abbr> '
                  '<span class="ago">{}</span></time>').format(iso, text, ago(ms, now_ms))


def number(value: float) -> str:
    """With thousands apart; what cannot be known (-1) as a question mark."""
    if value == -1:
        return "?"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"


def size(count: int) -> str:
    """Bytes for people."""
    amount, unit = float(count), 0
    while amount >= 1024 and unit < len(_SIZES) - 1:
        amount, unit = amount / 1024, unit + 1
    return f"{number(count)} bytes" if unit == 0 else f"{amount:.1f} {_SIZES[unit]}"


def plain(word: str) -> str:
    """``max_attempts`` as ``max attempts``."""
    return _UNDERSCORES.sub(" ", word)


def short(text: str, most: int = 140) -> str:
    """One line of a text, cut where it is long."""
    line = " ".join(text[:most * 8].split())
    return line if len(line) <= most else line[:most - 1].rstrip() + "…"


def told(detail: str) -> str:
    """What a step of the log has to say beyond its columns, in words: it lies there as JSON."""
    try:
        said = msgspec.json.decode(detail or "{}")
    except msgspec.DecodeError:
        return detail
    if not isinstance(said, dict):
        return detail
    return ", ".join(_HASH.sub(r"\1…", f"{plain(str(name))} {value}") for name, value in said.items())


def counted(count: int, one: str, many: str = "") -> str:
    """``1 letter``, ``2 letters``."""
    return f"{number(count)} {one if count == 1 else many or one + 's'}"
