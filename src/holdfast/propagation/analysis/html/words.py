# SPDX-License-Identifier: Apache-2.0
"""Numbers as people read them. Pure."""

from __future__ import annotations

_SIZES = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def seconds(value: float | None) -> str:
    """``0.173 s``, ``12.4 s``; None: never."""
    if value is None:
        return "never"
    return f"{value:.3f} s" if value < 1 else f"{value:.2f} s" if value < 10 else f"{value:.1f} s"


def size(value: float | None) -> str:
    """``624 B``, ``467 kB``."""
    if value is None:
        return "-"
    for unit, name in _SIZES:
        if value >= unit:
            return f"{value / unit:.3g} {name}" if value < 999.5 * unit else f"{value / unit:,.0f} {name}"
    return f"{value:.0f} B"


def share(value: float | None) -> str:
    """``12.5 %``; what is less than all is never shown as all."""
    if value is None:
        return "-"
    text = f"{100 * value:.1f}"
    return "100 %" if value >= 1 else ">99.9 %" if text == "100.0" else f"{text} %"


def number(value: float | None) -> str:
    """Three digits behind the point, and whole numbers with spaces that do not break."""
    if value is None:
        return "-"
    return f"{value:,.0f}".replace(",", "\u202f") if float(value).is_integer() else f"{value:.3f}"
