# SPDX-License-Identifier: Apache-2.0
"""Numbers as people read them: times with three digits and their unit, shares, counts. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_UNITS = ((1_000_000.0, "s"), (1_000.0, "ms"))


def time_of(us: float) -> str:
    """A duration in µs: ``419 ms``, ``1.93 s``, ``12 µs``; from two minutes on ``3 min 20 s``."""
    if us < 0:
        return f"−{time_of(-us)}"
    if us >= 120_000_000:
        minutes, seconds = divmod(round(us / 1_000_000), 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"
    for size, unit in _UNITS:
        if us >= size:
            return f"{_three(us / size)} {unit}"
    return f"{us:.0f} µs"


def _three(value: float) -> str:
    """Three digits."""
    return f"{value:.2f}" if value < 9.995 else f"{value:.1f}" if value < 99.95 else f"{value:.0f}"


def share_of(part: float, whole: float) -> str:
    """A share: ``12.5 %``; what is more than nothing is never shown as nothing."""
    if whole <= 0 or part <= 0:
        return "0 %"
    percent = 100 * part / whole
    return "<0.1 %" if percent < 0.05 else f"{percent:.1f} %" if percent < 99.95 else "100 %"


def count_of(number: int) -> str:
    """``12 345``, with spaces that do not break."""
    return f"{number:,}".replace(",", "\u202f")


def many(number: int, one: str, more: str = "") -> str:
    """``1 trace``, ``26 traces``."""
    return f"{count_of(number)} {one if number == 1 else more or one + 's'}"


def moment_of(us: int) -> str:
    """µs since 1970 as ``2023-01-29 10:19:33.082 UTC``; what no calendar has, as it is."""
    try:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)
    except OverflowError:
        return f"{us} µs"
    return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d} UTC"
