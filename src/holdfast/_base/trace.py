# SPDX-License-Identifier: Apache-2.0
"""W3C trace context: reading and writing ``traceparent``.

::

    00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
    version  trace id                   span id          flags

Source: W3C Trace Context, level 2, §3.2. A later version is read by the first four parts, as the specification asks;
whatever is not well formed is treated as absent, never repaired.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .chance import Chance

SAMPLED = 0x01

_FORM = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class TraceParent:
    """A place in a trace. Ids are integers, never 0; ``flags`` is one byte."""

    trace_id: int
    span_id: int
    flags: int = SAMPLED

    @property
    def sampled(self) -> bool:
        """Did whoever started it record it?"""
        return bool(self.flags & SAMPLED)

    def __str__(self) -> str:
        return f"00-{self.trace_id:032x}-{self.span_id:016x}-{self.flags:02x}"

    def child(self, chance: Chance) -> TraceParent:
        """A new span of the same trace."""
        return TraceParent(self.trace_id, _some_bits(64, chance), self.flags)


def parse(text: str | None) -> TraceParent | None:
    """The place that ``text`` names; None when it is not a well-formed ``traceparent``."""
    found = _FORM.fullmatch(text) if text else None
    if found is None:
        return None
    version, trace_id, span_id, flags, rest = found.groups()
    if version == "ff" or (version == "00" and rest is not None):
        return None
    parent = TraceParent(int(trace_id, 16), int(span_id, 16), int(flags, 16))
    return parent if parent.trace_id and parent.span_id else None


def new_trace(chance: Chance, flags: int = SAMPLED) -> TraceParent:
    """The first span of a new trace."""
    return TraceParent(_some_bits(128, chance), _some_bits(64, chance), flags)


def _some_bits(bits: int, chance: Chance) -> int:
    # All zeros means "no id" in the specification.
    while True:
        value = chance.getrandbits(bits)
        if value:
            return value
