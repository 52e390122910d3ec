# SPDX-License-Identifier: Apache-2.0
"""Durations as files write them. Pure."""

from __future__ import annotations

import re
from typing import Any, Final

from ..errors import ConfigurationError

_UNITS_S: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION: Final = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)(ms|s|m|h|d)")


def seconds(value: Any) -> float:
    """``"90s"``, ``"1.5h"``, or a number of seconds. Raises ConfigurationError."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e10:
        return float(value)
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ConfigurationError(f"{value!r} is no duration: write 500ms, 90s, 15m, 2h or 3d")
    return float(match[1]) * _UNITS_S[match[2]]
