# SPDX-License-Identifier: Apache-2.0
"""Listening with uvicorn, with TLS where a certificate is given, and stopping in good order.

Signals are the business of whoever runs it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError, MissingExtra

if TYPE_CHECKING:
    import uvicorn

#: Connections at once; what comes beyond is refused.
CONNECTIONS_MAX = 256
#: Bytes of a request's head.
HEAD_MAX = 16_384
#: Seconds that requests in flight have at the end.
DRAIN_S = 5


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 picks a free one. ConfigurationError when the address cannot be had."""
    try:
        family, *_, address = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM,
                                                 flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family)
    except OSError as error:
        raise ConfigurationError(f"--bind: cannot listen on {host or '*'}:{port}: {error.strerror or error}") from error


def address_of(listening: socket.socket, *, tls: bool) -> str:
    """As a URL."""
    host, port = listening.getsockname()[:2]
    return f"http{'s' if tls else ''}://{f'[{host}]' if ':' in host else host}:{port}"


async def serve(app: Any, listening: socket.socket, stop: asyncio.Event, *, cert: Path | None = None,
                key: Path | None = None, started: Callable[[], None] = lambda: None) -> None:
    """Serves until ``stop``. Raises MissingExtra without uvicorn, ConfigurationError for a bad certificate."""
    server = _server(app, cert, key)
    serving, stopping = asyncio.create_task(server.serve(sockets=[listening])), asyncio.create_task(stop.wait())
    started()
    try:
        await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        server.should_exit = True
        await serving


def _server(app: Any, cert: Path | None, key: Path | None) -> uvicorn.Server:
    try:
        import uvicorn
    except ImportError as error:
        raise MissingExtra("console", "the console") from error

    class Quiet(uvicorn.Server):
        """Leaves signals alone."""

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

    # Addresses are those of the connection: a header that says another one could be anybody's.
    config = uvicorn.Config(app, http="h11", ws="none", lifespan="off", log_config=None, log_level="warning",
                            access_log=False, server_header=False, proxy_headers=False,
                            limit_concurrency=CONNECTIONS_MAX, h11_max_incomplete_event_size=HEAD_MAX,
                            timeout_graceful_shutdown=DRAIN_S, ssl_certfile=cert, ssl_keyfile=key)
    try:
        config.load()
    except OSError as error:  # ssl.SSLError is one
        raise ConfigurationError(f"--tls-cert, --tls-key: {error.strerror or type(error).__name__}") from None
    return Quiet(config)
