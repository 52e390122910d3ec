# SPDX-License-Identifier: Apache-2.0
"""Where events go. A sink is a callable that takes an event; any function of yours is one.

::

    from holdfast import Events
    from holdfast.sinks import JsonLines, LogSink, PrometheusSink

    events = Events(LogSink(), PrometheusSink(), JsonLines("events.jsonl"))

* ``LogSink``: to ``logging``, as ``key=value``.
* ``JsonLines``: to a file, one object a line.
* ``PrometheusSink``: metrics (extra ``metrics``); ``processes`` joins those of several processes.
* ``OtelMiddleware``: a span an attempt (extra ``otel``). It sees the handler run, so it is middleware and no sink.
"""

from __future__ import annotations

from .jsonl import JsonLines
from .logs import LogSink
from .otel import OtelMiddleware, current_traceparent
from .prometheus import PrometheusSink

__all__ = ["JsonLines", "LogSink", "OtelMiddleware", "PrometheusSink", "current_traceparent"]
