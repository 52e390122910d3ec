# SPDX-License-Identifier: Apache-2.0
"""What serving with uvicorn has in common, whoever serves: an address, and stopping in good order.

Signals are the business of whoever runs it: uvicorn's own handlers are left out, because they end the process with the
signal once it has stopped, and so before anything else is given back. uvicorn itself is brought along by the caller.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Any

from ..errors import ConfigurationError


def listen(host: str, port: int, *, backlog: int | None = None, option: str = "") -> socket.socket:
    """A listening socket; port 0 picks a free one. ConfigurationError, after ``option``, when it cannot be had."""
    try:
        family, *_, address = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM,
                                                 flags=socket.AI_PASSIVE)[0]
        listening = socket.create_server(address[:2], family=family, backlog=backlog)
    except OSError as error:
        raise ConfigurationError(f"{option}cannot listen on {host or '*'}:{port}: {error.strerror or error}") from error
    # Connections inherit it. asyncio sets it only where a socket says that its protocol is TCP, and this one says 0: a
    # head and a body written one after the other would wait for each other, 40 ms a request.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def address_of(listening: socket.socket, *, tls: bool = False) -> str:
    """As a URL."""
    host, port = listening.getsockname()[:2]
    return f"http{'s' if tls else ''}://{f'[{host}]' if ':' in host else host}:{port}"


async def serve_until(server: Any, listening: socket.socket, stop: asyncio.Event, started: Callable[[], None]) -> None:
    """Serves until ``stop``, then until what is in flight is answered, or uvicorn's patience has ended."""
    server.capture_signals = contextlib.nullcontext
    serving, stopping = asyncio.create_task(server.serve(sockets=[listening])), asyncio.create_task(stop.wait())
    started()
    try:
        await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        server.should_exit = True
        await serving
