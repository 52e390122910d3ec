# SPDX-License-Identifier: Apache-2.0
"""The event's time, as lines write it: ISO 8601, or a number since 1970 whose size tells its unit.

A time without an offset is taken for UTC. Numbers below 10^11 are seconds (until the year 5138), below 10^14 ms, below
10^17 µs, above that ns. Fractions of seconds in text are read to the microsecond.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any, Final

__all__ = ["FIELDS", "time_ns", "timestamp_of"]

#: Fields that are looked at, in this order, when none is named.
FIELDS: Final = ("timestamp", "@timestamp", "time", "ts")

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS: Final = ((10**11, 10**9), (10**14, 10**6), (10**17, 10**3), (2**63, 1))
_ACCESS: Final = "%d/%b/%Y:%H:%M:%S %z"


def timestamp_of(fields: dict[str, Any], field: str = "") -> int | None:
    """The time of an event in ns since 1970: what ``field`` says, or else the first of ``FIELDS`` that is a time."""
    for name in (field,) if field else FIELDS:
        if name in fields and (found := time_ns(fields[name])) is not None:
            return found
    return None


def time_ns(value: Any) -> int | None:
    """One value as ns since 1970, or None when it is no time, or one before 1970 or after 2262."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        return None
    for below, factor in _UNITS:
        if value < below:
            # A float has no more than µs at that size; what it shows behind them is noise.
            return value * factor if isinstance(value, int) else round(value * factor / 1000) * 1000
    return None


def _text(value: str) -> int | None:
    if len(value) > 64:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        try:
            moment = datetime.strptime(value, _ACCESS)  # noqa: DTZ007 - the form has an offset
        except ValueError:
            return _number(value)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    try:
        ns = (moment - _EPOCH) // timedelta(microseconds=1) * 1000
    except OverflowError:
        return None
    return ns if 0 <= ns < 2**63 else None


def _number(value: str) -> int | None:
    if not value.isascii():
        return None
    if value.isdigit():
        return time_ns(int(value))
    try:
        return time_ns(float(value))
    except ValueError:
        return None
