# SPDX-License-Identifier: Apache-2.0
"""A small API server for Lease objects, over real sockets, that can be told to misbehave.

::

    with KubernetesServer(role=yaml.safe_load(role_file)) as server:
        workers = KubernetesWorkers(server.url, namespace="default", token=server.token)
        server.lose_answers(1, "update")              # carried out, and nobody hears of it
        server.edit("holdfast-ids.web.7", lambda lease: lease["spec"].update(holderIdentity="alice"))
        assert server.verbs == {"get", "list", "create", "update"}

It keeps to what is documented of resource versions, conflicts, names, labels, times and rights (``kubernetes_rules``).
It is no Kubernetes: one process, nothing on disk, no watch, no patch, one kind of object.
"""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from .kubernetes_rules import GROUP, RESOURCE, LeaseRules, Refused, Words, allowed
from .ports import HOST, free_port

_PATH = re.compile(rf"/apis/{re.escape(GROUP)}/v1/namespaces/(?P<namespace>[^/]+)/{RESOURCE}(?:/(?P<name>[^/]+))?")
_WRITES = ("create", "update")


@dataclass
class _Fault:
    """What happens to the next requests with one of these verbs."""

    left: int
    verbs: tuple[str, ...]
    status: int = 0
    retry_after_s: int | None = None
    delay_s: float = 0.0

    def is_for(self, verb: str) -> bool:
        return self.left > 0 and verb in self.verbs


class KubernetesServer:
    """Runs in threads of this process while the ``with`` block lasts. role: a Role, as its manifest has it; None allows
    everything. tls: makes it https."""

    def __init__(self, *, role: Words | None = None, tls: ssl.SSLContext | None = None) -> None:
        self.role, self.rules = role, LeaseRules()
        self.token = secrets.token_hex(8)
        #: Verbs that were asked for, and how often in all.
        self.verbs: set[str] = set()
        self.requests = 0
        self._tls, self._faults, self._guard = tls, list[_Fault](), threading.RLock()
        self.port, self._connections = free_port(), set[socket.socket]()
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        """As a client wants it."""
        return f"http{'s' if self._tls else ''}://{HOST}:{self.port}"

    @property
    def address(self) -> tuple[str, int]:
        """As a proxy wants it."""
        return HOST, self.port

    def start(self) -> None:
        """Listens; what was stored before a ``stop`` is there."""
        owner = self

        class Handler(_Handler):
            server_of_leases = owner

        self._server = ThreadingHTTPServer((HOST, self.port), Handler)
        self._server.daemon_threads = True
        if self._tls is not None:
            self._server.socket = self._tls.wrap_socket(self._server.socket, server_side=True,
                                                        do_handshake_on_connect=False)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), name="holdfast-kubernetes",
                         daemon=True).start()

    def stop(self) -> None:
        """Is away: connections end."""
        server, self._server = self._server, None
        if server is None:
            return
        server.shutdown()
        server.server_close()
        with self._guard:
            for connection in self._connections:
                _hang_up(connection)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # -- by hand, as with kubectl ---------------------------------------------------------------------------------

    def objects(self, namespace: str = "default") -> dict[str, Words]:
        """Everything that is there, by name."""
        with self._guard:
            return {name: self.rules.get(where, name) for where, name in self.rules.objects if where == namespace}

    def edit(self, name: str, change: Callable[[Words], object], namespace: str = "default") -> None:
        """Somebody with every right changes an object."""
        with self._guard:
            found = self.rules.get(namespace, name)
            change(found)
            self.rules.update(namespace, name, found)

    def delete(self, name: str, namespace: str = "default") -> None:
        """Somebody with every right deletes an object."""
        with self._guard:
            self.rules.delete(namespace, name)

    # -- faults ---------------------------------------------------------------------------------------------------

    def lose_answers(self, times: int, *verbs: str) -> None:
        """Carries out the next ones and hangs up. verbs: all that write, unless some are named."""
        self._hurt(_Fault(times, verbs or _WRITES))

    def answer(self, status: int, times: int, *verbs: str, retry_after_s: int | None = None) -> None:
        """Answers the next ones with a status and does nothing: 409, 429, 500, …"""
        self._hurt(_Fault(times, verbs or _WRITES, status, retry_after_s))

    def delay(self, seconds: float, times: int, *verbs: str) -> None:
        """Carries out the next ones at once and answers later."""
        self._hurt(_Fault(times, verbs or _WRITES, delay_s=seconds))

    def heal(self) -> None:
        """Forgets all faults."""
        with self._guard:
            self._faults.clear()

    def _hurt(self, fault: _Fault) -> None:
        with self._guard:
            self._faults.append(fault)

    # -- requests -------------------------------------------------------------------------------------------------

    def _next_fault(self, verb: str) -> _Fault | None:
        fault = next((fault for fault in self._faults if fault.is_for(verb)), None)
        if fault is not None:
            fault.left -= 1
        return fault

    def _answer(self, handler: _Handler, method: str) -> None:
        """One request, from its first byte to its answer's last."""
        length = int(handler.headers.get("Content-Length") or 0)
        body = json.loads(handler.rfile.read(length)) if length else {}
        with self._guard:
            self.requests += 1
            try:
                fault, status, answer = self._done(handler, method, body)
            except Refused as refused:
                fault, status, answer = None, refused.status, _status(refused.status, refused.reason, str(refused))
        if fault is not None and fault.delay_s:
            time.sleep(fault.delay_s)
        elif fault is not None and not fault.status:
            handler.close_connection = True
            return
        handler.reply(status, answer, fault.retry_after_s if fault is not None else None)

    def _done(self, handler: _Handler, method: str, body: Words) -> tuple[_Fault | None, int, Words]:
        """What becomes of it, and what is to go wrong then. Raises Refused."""
        split = urlsplit(handler.path)
        found = _PATH.fullmatch(split.path)
        if found is None:
            raise Refused(404, "NotFound", "the server could not find the requested resource")
        namespace, name = found["namespace"], found["name"] or ""
        verb = {"GET": "get" if name else "list", "POST": "create", "PUT": "update"}[method]
        fault = self._next_fault(verb)
        if fault is not None and fault.status:
            return fault, fault.status, _status(fault.status, "", "told to say so")
        if handler.headers.get("Authorization") != f"Bearer {self.token}":
            raise Refused(401, "Unauthorized", "Unauthorized")
        self._authorize(verb, namespace, name)
        if verb == "list":
            selector = parse_qs(split.query).get("labelSelector", [""])[0]
            return fault, 200, self.rules.list(namespace, selector)
        if verb == "get":
            return fault, 200, self.rules.get(namespace, name)
        if verb == "create":
            return fault, 201, self.rules.create(namespace, body)
        return fault, 200, self.rules.update(namespace, name, body)

    def _authorize(self, verb: str, namespace: str, name: str) -> None:
        self.verbs.add(verb)
        if self.role is not None and not allowed(self.role, verb, name):
            raise Refused(403, "Forbidden", f'{RESOURCE}.{GROUP} is forbidden: User "system:serviceaccount:{namespace}:'
                                            f'tests" cannot {verb} resource "{RESOURCE}" in API group "{GROUP}" in the '
                                            f'namespace "{namespace}"')


def _status(code: int, reason: str, message: str) -> Words:
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
            "reason": reason, "code": code}


def _hang_up(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it has ended already
        connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    """Speaks HTTP/1.1 and keeps connections."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server_of_leases: KubernetesServer

    def setup(self) -> None:
        super().setup()
        with self.server_of_leases._guard:  # noqa: SLF001 - one thing in two classes
            self.server_of_leases._connections.add(self.connection)  # noqa: SLF001 - the same

    def finish(self) -> None:
        with self.server_of_leases._guard:  # noqa: SLF001 - the same
            self.server_of_leases._connections.discard(self.connection)  # noqa: SLF001 - the same
        super().finish()

    def handle(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # whoever asked has hung up
            super().handle()

    def do_GET(self) -> None:
        self.server_of_leases._answer(self, "GET")  # noqa: SLF001 - the same

    def do_POST(self) -> None:
        self.server_of_leases._answer(self, "POST")  # noqa: SLF001 - the same

    def do_PUT(self) -> None:
        self.server_of_leases._answer(self, "PUT")  # noqa: SLF001 - the same

    def reply(self, status: int, answer: Words, retry_after_s: int | None) -> None:
        said = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(said)))
        if retry_after_s is not None:
            self.send_header("Retry-After", str(retry_after_s))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: a test that fails says what it wanted."""
