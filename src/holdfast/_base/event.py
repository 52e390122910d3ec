# SPDX-License-Identifier: Apache-2.0
"""What every event has. The events themselves are in ``events`` and ``events_ids``."""

from __future__ import annotations

import logging
from typing import Any

import msgspec

__all__ = ["Event"]


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all events. ``name`` is the class name in snake case; it is what sinks and logs show."""

    level: int = logging.INFO

    @property
    def name(self) -> str:
        """The class's name in snake case."""
        cls = type(self).__name__
        return "".join("_" + c.lower() if c.isupper() and i else c.lower() for i, c in enumerate(cls))

    def as_dict(self) -> dict[str, Any]:
        """Fields by name, without ``level``."""
        return {f: getattr(self, f) for f in self.__struct_fields__ if f != "level"}
