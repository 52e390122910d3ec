# SPDX-License-Identifier: Apache-2.0
"""Serving secrets with uvicorn, over TLS and nothing else. Stopping: no new connection, what is in flight is answered,
then the audit is marked and the store closed.

A connection costs nothing to whoever opens it, and there is room for so many. So one that has not asked anything in
``HEAD_S`` is hung up on, and who has not said who he is keeps none (``app``); what is left is a flood, which a firewall
has to stop.
"""

from __future__ import annotations

import asyncio
import resource
import signal
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from ..._base.serving import serve_until
from ...errors import ConfigurationError, MissingExtra

#: Connections at once; what comes beyond is refused. An idle one costs some ten kB, and TLS as much again.
CONNECTIONS_MAX: Final = 1_024
HEAD_MAX: Final = 16_384
KEEP_ALIVE_S: Final = 75
#: Seconds that a request's head may take, from the connection's beginning or its own; and that hanging up may.
HEAD_S: Final = 10.0
HANG_UP_S: Final = 2.0
#: Seconds that requests in flight have at the end.
DRAIN_S: Final = 10.0


@dataclass(frozen=True)
class Tls:
    """certificate, key: the server's, PEM. clients: authorities that sign clients' certificates, PEM; None: clients
    have tokens. required: a client without a certificate does not even get to speak."""

    certificate: Path
    key: Path
    clients: Path | None = None
    required: bool = False

    def context(self) -> ssl.SSLContext:
        """For the server. Raises ConfigurationError for files that are none."""
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            made.load_cert_chain(self.certificate, self.key)
            if self.clients is not None:
                made.load_verify_locations(self.clients)
                made.verify_mode = ssl.CERT_REQUIRED if self.required else ssl.CERT_OPTIONAL
            elif self.required:
                raise ConfigurationError("certificates of clients are required, and no authority is named for them")
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(f"the certificates cannot be used: {error}") from None
        return made


async def serve(app: Any, listening: socket.socket, tls: Tls, stop: asyncio.Event, *, drain_s: float = DRAIN_S,
                head_s: float = HEAD_S, started: Callable[[], None] = lambda: None) -> None:
    """Serves ``app`` until ``stop``, then answers what is in flight for at most ``drain_s``. head_s: for a request's
    head.

    Raises MissingExtra without uvicorn, ConfigurationError for certificates that are none.
    """
    await serve_until(_server(app, tls, drain_s, head_s), listening, stop, started)


def run(app: Any, listening: socket.socket, tls: Tls, *, drain_s: float = DRAIN_S,
        started: Callable[[], None] = lambda: None, close: Callable[[], None] = lambda: None) -> None:
    """Serves until SIGTERM or Ctrl-C; then ``close`` gives back what it holds. For a process's main thread."""
    async def main() -> None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await serve(app, listening, tls, stop, drain_s=drain_s, started=started)

    try:
        asyncio.run(main())
    finally:
        close()


def _server(app: Any, tls: Tls, drain_s: float, head_s: float) -> Any:
    try:
        import uvicorn
    except ImportError as error:
        raise MissingExtra("serve", "the secret server") from error

    protocol = _protocol(head_s)

    class Hurried(uvicorn.Server):
        """TLS has as long as a head has: uvicorn leaves it the minute that asyncio gives it, in which a connection is
        counted by nobody."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets=[])
            made = partial(protocol, config=self.config, server_state=self.server_state, app_state=self.lifespan.state)
            loop = asyncio.get_running_loop()
            for one in sockets or ():
                self.servers.append(await loop.create_server(
                    made, sock=one, ssl=self.config.ssl, backlog=self.config.backlog,
                    ssl_handshake_timeout=head_s))  # guard: who does not even speak TLS has no place

    config = uvicorn.Config(app, http=protocol, ws="none", lifespan="off", log_config=None, log_level="warning",
                            access_log=False, server_header=False, limit_concurrency=CONNECTIONS_MAX,
                            h11_max_incomplete_event_size=HEAD_MAX, timeout_keep_alive=KEEP_ALIVE_S,
                            timeout_graceful_shutdown=int(drain_s) or 1)
    config.load()
    config.ssl = tls.context()
    return Hurried(config)


def _protocol(head_s: float) -> Any:
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Peered(H11Protocol):
        """A connection that knows whose certificate its client has: uvicorn tells applications nothing of it. And one
        that does not wait for ever: uvicorn has a patience only between two requests."""

        _late: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self.app_state = {**self.app_state, "peer": common_name(transport.get_extra_info("peercert"))}
            self._wait()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._wait()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            if self.transport.is_closing():  # TLS would wait half a minute for a client that does not hang up as well
                self.loop.call_later(HANG_UP_S, self.transport.abort)

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            if self._late is not None:
                self._late.cancel()

        def _wait(self) -> None:
            cycle: Any = self.cycle  # None before the first request
            asked = cycle is not None and not cycle.response_complete
            if self._late is not None and asked:
                self._late.cancel()
                self._late = None
            elif self._late is None and not asked:
                self._late = self.loop.call_later(head_s, self.transport.abort)  # guard: who asks nothing has no place

    return Peered


def make_room() -> None:
    """For a process that serves: files and connections share a limit, often as low as the connections' own, and what
    cannot be recorded is refused. It is raised as far as the system lets us."""
    least, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * CONNECTIONS_MAX
    if least not in (-1, resource.RLIM_INFINITY) and least < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if most < 0 else max(least, min(wanted, most)), most))


def common_name(certificate: Any) -> str:
    """Of the client's certificate as the library tells it, checked already; empty without one, or with several."""
    found = [value for part in (certificate or {}).get("subject", ()) for key, value in part if key == "commonName"]
    return found[0] if len(found) == 1 else ""
