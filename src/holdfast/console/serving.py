# SPDX-License-Identifier: Apache-2.0
"""Serving the console with uvicorn, with TLS where a certificate is given."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._base.serving import serve_until
from ..errors import ConfigurationError, MissingExtra

if TYPE_CHECKING:
    import uvicorn

#: Connections at once; what comes beyond is refused.
CONNECTIONS_MAX = 256
#: Bytes of a request's head.
HEAD_MAX = 16_384
#: Seconds that requests in flight have at the end.
DRAIN_S = 5


async def serve(app: Any, listening: socket.socket, stop: asyncio.Event, *, cert: Path | None = None,
                key: Path | None = None, started: Callable[[], None] = lambda: None) -> None:
    """Serves until ``stop``. Raises MissingExtra without uvicorn, ConfigurationError for a bad certificate."""
    await serve_until(_server(app, cert, key), listening, stop, started)


def _server(app: Any, cert: Path | None, key: Path | None) -> uvicorn.Server:
    try:
        import uvicorn
    except ImportError as error:
        raise MissingExtra("console", "the console") from error

    # Addresses are those of the connection: a header that says another one could be anybody's.
    config = uvicorn.Config(app, http="h11", ws="none", lifespan="off", log_config=None, log_level="warning",
                            access_log=False, server_header=False, proxy_headers=False,
                            limit_concurrency=CONNECTIONS_MAX, h11_max_incomplete_event_size=HEAD_MAX,
                            timeout_graceful_shutdown=DRAIN_S, ssl_certfile=cert, ssl_keyfile=key)
    try:
        config.load()
    except OSError as error:  # ssl.SSLError is one
        raise ConfigurationError(f"--tls-cert, --tls-key: {error.strerror or type(error).__name__}") from None
    return uvicorn.Server(config)
