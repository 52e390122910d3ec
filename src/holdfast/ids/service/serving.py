# SPDX-License-Identifier: Apache-2.0
"""Listening with uvicorn, and stopping in good order: no new connection, what is in flight is answered, then the end.

Signals are the business of whoever runs it: uvicorn's own handlers are left out, because they end the process with the
signal once it has stopped, and so before a worker id is given back.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from ...errors import ConfigurationError, MissingExtra

if TYPE_CHECKING:
    import uvicorn

#: Connections at once; what comes beyond is refused. An idle one costs some ten kB.
CONNECTIONS_MAX = 4_096
#: Bytes of a request's head.
HEAD_MAX = 8_192
#: Seconds that an idle connection is kept: longer than clients keep theirs, who would else ask on one that just closes.
KEEP_ALIVE_S = 75
#: Seconds that requests in flight have at the end.
DRAIN_S = 10.0


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 picks a free one. ConfigurationError when the address cannot be had."""
    try:
        family, *_, address = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM,
                                                 flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=2048)
    except OSError as error:
        raise ConfigurationError(f"cannot listen on {host or '*'}:{port}: {error.strerror or error}") from error


def address_of(listening: socket.socket) -> str:
    """As a URL."""
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


async def serve(app: Any, listening: socket.socket, stop: asyncio.Event, *, drain_s: float = DRAIN_S,
                started: Callable[[], None] = lambda: None) -> None:
    """Serves ``app`` until ``stop``, then answers what is in flight for at most ``drain_s``.

    Raises MissingExtra without uvicorn.
    """
    server = _server(app, drain_s)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    stopping = asyncio.create_task(stop.wait())
    started()
    try:
        await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        server.should_exit = True
        await serving


def _server(app: Any, drain_s: float) -> uvicorn.Server:
    try:
        import uvicorn
    except ImportError as error:
        raise MissingExtra("serve", "the id service") from error

    class Quiet(uvicorn.Server):
        """Leaves signals alone."""

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

    # h11, wherever httptools happens to be installed as well: only the former bounds a request's head.
    return Quiet(uvicorn.Config(app, http="h11", ws="none", lifespan="off", log_config=None, log_level="warning",
                                access_log=False, server_header=False, limit_concurrency=CONNECTIONS_MAX,
                                h11_max_incomplete_event_size=HEAD_MAX, timeout_keep_alive=KEEP_ALIVE_S,
                                timeout_graceful_shutdown=int(drain_s) or 1))
