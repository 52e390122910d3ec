# SPDX-License-Identifier: Apache-2.0
"""Events as log records: ``taken_over stream=orders group=billing count=7``, at the level the event carries.

Values are quoted like JSON strings wherever a space, a quote, ``=`` or a control character would let one value pass for
two, or a stream's name for a line of its own.
"""

from __future__ import annotations

import json
import logging
import re
from typing import Any

from .._base.events import Event
from .plain import plain, text

_BARE = re.compile(r"[^\s\"'=]+")


def key_values(event: Event) -> str:
    """The event's fields as ``key=value``, separated by spaces."""
    return " ".join(f"{key}={_shown(plain(value))}" for key, value in event.as_dict().items())


def _shown(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case None:
            return "-"
        case float():
            return f"{value:.6g}"
        case str():
            return value if _BARE.fullmatch(value) and value.isprintable() and value != "-" else json.dumps(value)
        case list() | dict():
            # A batch's handle times would drown the line: how many there are is what a reader of logs wants.
            return f"<{len(value)}>"
        case _:
            return str(value)


class LogSink:
    """Hands events to ``logging``, by default to the logger ``holdfast.events``, whose level decides what is written.

    The record carries the event as ``record.holdfast_event`` for handlers that write structure.
    """

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self._logger = logger or logging.getLogger("holdfast.events")

    def __call__(self, event: Event) -> None:
        if self._logger.isEnabledFor(event.level):
            self._logger.log(event.level, "%s %s", text(event.name), key_values(event), extra={"holdfast_event": event})
