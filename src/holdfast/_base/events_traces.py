# SPDX-License-Identifier: Apache-2.0
"""Events about traces that are read while their files grow. Import them from ``events``."""

from __future__ import annotations

import logging

from .event import Event

__all__ = ["TraceFileTrouble", "TraceThresholdCrossed", "TracesClosed", "TracesRead"]


class TracesRead(Event, frozen=True, kw_only=True):
    """One look at all files: what was new in them. ``lag_bytes``: what is not read yet. ``open_spans``,
    ``open_traces``: of traces to which spans may still come."""

    level: int = logging.DEBUG
    lines: int = 0
    bytes: int = 0
    spans: int = 0
    rejected: int = 0
    lag_bytes: int = 0
    open_traces: int = 0
    open_spans: int = 0


class TracesClosed(Event, frozen=True, kw_only=True):
    """Traces were closed: after a rest, at their age, because memory ended, at the end. ``revisions``: of these, given
    out before; ``late``: spans that came after their trace was closed. ``root_s``: how long each new one lasted."""

    level: int = logging.DEBUG
    idle: int = 0
    age: int = 0
    full: int = 0
    end: int = 0
    revisions: int = 0
    late: int = 0
    incomplete: int = 0
    failed: int = 0
    root_s: tuple[float, ...] = ()


class TraceFileTrouble(Event, frozen=True, kw_only=True):
    """A file of spans cannot be read now. It is looked at again."""

    file: str
    error: str
    level: int = logging.WARNING


class TraceThresholdCrossed(Event, frozen=True, kw_only=True):
    """A threshold is crossed that was not before. ``threshold``: as it was written; ``value``: NaN without one."""

    threshold: str
    value: float
    level: int = logging.WARNING
