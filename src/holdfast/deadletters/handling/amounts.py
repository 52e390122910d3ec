# SPDX-License-Identifier: Apache-2.0
"""Moments as a rules file writes them. Pure."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any, Final

from ..._base.letter_text import ms_of
from ...errors import ConfigurationError

_OF_DAY: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
DAY_MS: Final = 86_400_000
MINUTE_MS: Final = 60_000


def moment_ms(value: Any) -> int:
    """An instant with its zone, as ms since 1970. Raises ConfigurationError."""
    if isinstance(value, dt.datetime) and value.tzinfo is not None:  # YAML and TOML read it themselves
        return int(value.timestamp() * 1000)
    found = ms_of(value) if isinstance(value, str) else None
    if found is None:
        raise ConfigurationError(f"{value!r} is no moment: write one with its zone, 2026-12-01T08:00:00Z")
    return found


def minute_of_day(value: Any) -> int:
    """``"03:30"``, UTC, as minutes since midnight. Raises ConfigurationError."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1440:
        return value  # YAML 1.1 reads 03:30 without quotes as a number in base 60
    match = _OF_DAY.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ConfigurationError(f'{value!r} is no time of day: write "03:30", in UTC')
    return int(match[1]) * 60 + int(match[2])
