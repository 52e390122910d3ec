# SPDX-License-Identifier: Apache-2.0
"""How often a provider takes a message, shared by all instances. Pure.

A provider counts messages as they arrive, we as they leave. So the window in which we count is longer than theirs by as
long as one may be under way: whatever arrives within a minute of theirs left within ours.
"""

from __future__ import annotations

from typing import Final

import msgspec

#: A provider's minute, and how long a message may be under way, in ms.
MINUTE_MS: Final = 60_000
WAY_MS: Final = 10_000


class Window(msgspec.Struct, frozen=True):
    """When the last messages left, oldest first, and until when the provider wants none. ms by the desk."""

    left_ms: list[int] = []
    closed_until_ms: int = 0


def take(window: Window, now_ms: int, per_minute: int) -> tuple[Window, int]:
    """Room for one more: the window with it, and 0; or as it is, and how long to wait in ms."""
    kept = [ms for ms in window.left_ms if ms > now_ms - MINUTE_MS - WAY_MS]
    if now_ms < window.closed_until_ms:
        return window, window.closed_until_ms - now_ms
    if len(kept) >= per_minute:  # guard: the provider's limit
        return window, max(1, kept[-per_minute] + MINUTE_MS + WAY_MS - now_ms)
    return Window([*kept, now_ms], window.closed_until_ms), 0


def close(window: Window, now_ms: int, for_ms: int) -> tuple[Window, None]:
    """The provider wants nothing for so long."""
    return Window(window.left_ms, max(window.closed_until_ms, now_ms + for_ms)), None
