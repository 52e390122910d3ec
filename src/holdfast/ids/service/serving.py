# SPDX-License-Identifier: Apache-2.0
"""Serving ids with uvicorn. Stopping: no new connection, what is in flight is answered, then the end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..._base.serving import serve_until
from ...errors import MissingExtra

if TYPE_CHECKING:
    import uvicorn

#: Connections that may wait to be taken.
BACKLOG = 2_048
#: Connections at once; what comes beyond is refused. An idle one costs some ten kB.
CONNECTIONS_MAX = 4_096
#: Bytes of a request's head.
HEAD_MAX = 8_192
#: Seconds that an idle connection is kept: longer than clients keep theirs, who would else ask on one that just closes.
KEEP_ALIVE_S = 75
#: Seconds that requests in flight have at the end.
DRAIN_S = 10.0


async def serve(app: Any, listening: socket.socket, stop: asyncio.Event, *, drain_s: float = DRAIN_S,
                started: Callable[[], None] = lambda: None) -> None:
    """Serves ``app`` until ``stop``, then answers what is in flight for at most ``drain_s``.

    Raises MissingExtra without uvicorn.
    """
    await serve_until(_server(app, drain_s), listening, stop, started)


def _server(app: Any, drain_s: float) -> uvicorn.Server:
    try:
        import uvicorn
    except ImportError as error:
        raise MissingExtra("serve", "the id service") from error

    # h11, wherever httptools happens to be installed as well: only the former bounds a request's head.
    config = uvicorn.Config(app, http="h11", ws="none", lifespan="off", log_config=None, log_level="warning",
                            access_log=False, server_header=False, limit_concurrency=CONNECTIONS_MAX,
                            h11_max_incomplete_event_size=HEAD_MAX, timeout_keep_alive=KEEP_ALIVE_S,
                            timeout_graceful_shutdown=int(drain_s) or 1)
    return uvicorn.Server(config)
