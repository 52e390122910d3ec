# SPDX-License-Identifier: Apache-2.0
"""A node behind HTTP: one path, sealed boxes in and out. Nothing is said to who is nobody, but that."""

from __future__ import annotations

import contextlib
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from ...errors import ConfigurationError, SecretUnavailable
from .node import Node
from .words import BYTES_MAX

_IDLE_S: Final = 60.0


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    node: Node

    def __init__(self, address: tuple[str, int]) -> None:
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def end_connections(self) -> None:
        """Callers keep theirs open between requests."""
        with self._lock:
            for one in self._open:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke is the caller's affair; nothing of it is printed."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "holdfast"
    sys_version = ""
    timeout = _IDLE_S
    server: _Server

    def setup(self) -> None:
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().setup()

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit() or int(length) > BYTES_MAX:
            self.close_connection = True
            self._say(413, b"")
            return
        box = self.rfile.read(int(length))
        try:
            self._say(200, self.server.node.answer(box))
        except SecretUnavailable:
            self._say(403, b"")
        except Exception:  # noqa: BLE001 - whatever it was: the caller counts this node as one that did not answer
            self._say(500, b"")

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the ledger says who asked for what."""

    def _say(self, status: int, body: bytes) -> None:
        self.send_response_only(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Serving:
    """Serves a node on host and port until it is closed; port 0 picks a free one. ConfigurationError when it cannot
    listen."""

    def __init__(self, node: Node, host: str = "127.0.0.1", port: int = 0) -> None:
        try:
            self._server = _Server((host, port))
        except OSError as error:
            raise ConfigurationError(f"cannot listen on {host}:{port}: {error.strerror}") from error
        self._server.node = node
        self._node = node
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name=f"node {node.name}")
        self._thread.start()

    @property
    def address(self) -> str:
        """host:port."""
        host, port = self._server.server_address[:2]
        return f"{host!s}:{port}"

    def close(self) -> None:
        """Takes no more requests."""
        self._server.shutdown()
        self._thread.join()
        self._server.end_connections()
        with contextlib.suppress(OSError):
            self._server.server_close()
        self._node.close()
