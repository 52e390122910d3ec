# SPDX-License-Identifier: Apache-2.0
"""Lines into events, where an event may have several. Pure: lines and the time go in.

The last event of a source is held back until the next one begins, or until ``wait_s`` have passed without a line: what
comes later than that is an event of its own. So where an event of several lines ends can depend on the time. Should
the process die between handing on an event that was ended so and writing the checkpoint, and the event grow meanwhile,
it comes again as a longer one, with another id. A source whose lines are written at once never meets this.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from .._base.clock import Instant
from ..errors import ConfigurationError
from .joining import Joins
from .line import Line

__all__ = ["Assembler", "Multiline"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Multiline:
    """How lines become events.

    joins: the rule, see ``joining``. wait_s: an event is over after so long without a line; more delays the last event
    of a quiet source, less takes slow writers' events apart. lines_max, bytes_max: an event longer than that is ended;
    what follows is another one.
    """

    joins: Joins
    wait_s: float = 1.0
    lines_max: int = 1000
    bytes_max: int = 1024 * 1024

    def __post_init__(self) -> None:
        if self.wait_s < 0 or self.lines_max < 1 or self.bytes_max < 1:
            raise ConfigurationError("multiline: wait_s is seconds, 0 or more; lines_max and bytes_max count from 1")


class Assembler:
    """The events of one source. Without a rule each line is one."""

    __slots__ = ("_bytes", "_held", "_rule", "_since", "_state")

    def __init__(self, rule: Multiline | None = None) -> None:
        self._rule = rule
        self._held: list[Line] = []
        self._bytes = 0
        self._state = ""
        self._since = Instant(0.0)

    @property
    def holds(self) -> bool:
        """Is an event waiting for its end?"""
        return bool(self._held)

    def feed(self, lines: list[Line], now: Instant) -> list[Line]:
        """The events that are over by now."""
        rule = self._rule
        if rule is None:
            return lines
        events: list[Line] = []
        for line in lines:
            if line.piece:
                events += [*self.flush(), line]
                continue
            state = rule.joins(self._state, line.content) if self._held else None
            if state is None or len(self._held) >= rule.lines_max or self._bytes + line.length > rule.bytes_max:
                events += self.flush()
                state = rule.joins("", line.content) or ""
            self._held.append(line)
            self._bytes += line.length
            self._state = state
        self._since = now
        return events

    def due(self, now: Instant) -> list[Line]:
        """The event that was waited for long enough."""
        over = self._rule is not None and self._held and now - self._since >= self._rule.wait_s
        return self.flush() if over else []

    def flush(self) -> list[Line]:
        """The event that is held, as it is."""
        held, self._held, self._bytes, self._state = self._held, [], 0, ""
        if len(held) < 2:
            return held
        return [msgspec.structs.replace(held[0], raw=b"".join(line.raw for line in held), lines=len(held),
                                        ended=held[-1].ended)]
