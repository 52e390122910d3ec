# SPDX-License-Identifier: Apache-2.0
"""What a command that serves has its events told to: a service's log on stderr, and metrics."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .._base.events import Events

#: Media type and text of a scrape.
Measured = Callable[[], tuple[str, str]]


def logged(events: Events) -> None:
    """Events go to stderr as a service's log."""
    from ..sinks.logs import LogSink

    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    events.subscribe(LogSink())


def measured(events: Events) -> Measured:
    """Events go into metrics from here on. Raises MissingExtra where they are not installed."""
    from ..sinks.prometheus import PrometheusSink

    prometheus = PrometheusSink()
    events.subscribe(prometheus)
    return lambda: (prometheus.content_type(), prometheus.text())


def measured_if_installed(events: Events) -> Measured | None:
    """The same, or None where they are not."""
    from ..errors import MissingExtra

    try:
        return measured(events)
    except MissingExtra:
        return None


def address_of(server: asyncio.Server) -> str:
    """Where it listens, as a URL."""
    host, port = server.sockets[0].getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
