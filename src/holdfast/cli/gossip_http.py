# SPDX-License-Identifier: Apache-2.0
"""JSON over HTTP for a process on this machine: how ``holdfast gossip`` speaks to an agent. No extra is needed.

A request a connection, bounded in size, number and time. Whoever can connect may ask, so it listens on loopback unless
tokens are given; and because web pages can reach loopback too, what a browser sends is turned away: an ``Origin``, a
``Host`` that is a name (DNS rebinding), or a POST that is no JSON (which a form can send without asking first).
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import msgspec

from .._base.typed import from_json
from ..errors import ConfigurationError, HoldfastError, NotAuthorized
from .health import Page
from .plan import Address

if TYPE_CHECKING:
    from ..ids.service import Tokens

#: A request that has not arrived whole after this long is none.
PATIENCE_S: Final = 5.0
HEAD_BYTES_MAX: Final = 8_192
BODY_BYTES_MAX: Final = 65_536
#: Requests at work; others are turned away at once.
AT_ONCE_MAX: Final = 64
#: Seconds that requests at work have at the end.
DRAIN_S: Final = 2.0

Handler = Callable[[Any], Awaitable[Any] | Any]


@dataclass(frozen=True, slots=True)
class Route:
    """What answers a path. wants: the type of the request's JSON; None for GET. handler gives a ``Page``, or what is to
    be written as JSON. open: without a token, for probes."""

    handler: Handler
    wants: Any = None
    open: bool = False


@dataclass(frozen=True, slots=True)
class _Head:
    method: str
    path: str
    fields: Mapping[str, str]


class Refused(Exception):
    """A request that is not answered; its page says why."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.page = fault(status, text)


def fault(status: int, text: str, kind: str = "") -> Page:
    """An error, as clients of ``gossip_ask.py`` read it."""
    return Page(status, "application/json", msgspec.json.encode({"error": text, "kind": kind}).decode() + "\n")


class JsonServer:
    """routes: by method and path. tokens: None: whoever reaches it may ask."""

    def __init__(self, routes: Mapping[tuple[str, str], Route], tokens: Tokens | None = None) -> None:
        self._routes, self._tokens = routes, tokens
        self._at_work = 0
        self._idle = asyncio.Event()
        self._server: asyncio.Server | None = None

    async def start(self, flag: str, address: Address) -> str:
        """Where it listens. ``flag`` is named when the address cannot be had (ConfigurationError)."""
        host, port = address
        try:
            self._server = await asyncio.start_server(self._serve, host or None, port, limit=HEAD_BYTES_MAX)
        except OSError as error:
            why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or error
            raise ConfigurationError(f"{flag}: cannot listen on {host or '*'}:{port}: {why}") from error
        at, number = self._server.sockets[0].getsockname()[:2]
        return f"[{at}]:{number}" if ":" in at else f"{at}:{number}"

    async def close(self) -> None:
        """Takes no new request, and waits a moment for those at work."""
        if self._server is not None:
            self._server.close()
        if self._at_work:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), DRAIN_S)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._at_work += 1
        self._idle.clear()
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                writer.write(_written(await self._answered(reader)))
                await asyncio.wait_for(writer.drain(), PATIENCE_S)
        except TimeoutError:
            pass  # who does not read its answer does not get it
        finally:
            writer.close()
            self._at_work -= 1
            if not self._at_work:
                self._idle.set()

    async def _answered(self, reader: asyncio.StreamReader) -> Page:
        if self._at_work > AT_ONCE_MAX:  # guard: bounded requests
            return fault(503, f"{AT_ONCE_MAX} requests are at work: ask again")
        try:
            return await self._page(reader)
        except Refused as refused:
            return refused.page
        except TimeoutError:
            return fault(408, "it took too long")
        except asyncio.LimitOverrunError:
            return fault(431, f"a request's head has at most {HEAD_BYTES_MAX} bytes")
        except HoldfastError as error:
            return fault(_status_of(error), str(error), type(error).__name__)

    async def _page(self, reader: asyncio.StreamReader) -> Page:
        async with asyncio.timeout(PATIENCE_S):
            head = _head(await reader.readuntil(b"\r\n\r\n"))
            route = self._route(head)
            self._allow(head, route)
            body = await reader.readexactly(_length(head)) if route.wants is not None else b""
        given = None
        if route.wants is not None:
            try:
                given = from_json(body or b"{}", route.wants)
            except (msgspec.MsgspecError, ValueError, RecursionError) as error:  # ValueError: no UTF-8
                raise Refused(400, f"the request's JSON is not what is wanted: {error}") from None
        answer = route.handler(given)
        found = await answer if isinstance(answer, Awaitable) else answer
        if isinstance(found, Page):
            return found
        return Page(200, "application/json", msgspec.json.encode(found).decode() + "\n")

    def _route(self, head: _Head) -> Route:
        found = self._routes.get((head.method, head.path))
        if found is not None:
            return found
        if any(path == head.path for _, path in self._routes):
            raise Refused(405, f"{head.path} is not asked for with {head.method}")
        raise Refused(404, "there are " + ", ".join(sorted({path for _, path in self._routes})))

    def _allow(self, head: _Head, route: Route) -> None:
        if "origin" in head.fields:  # guard: no web page
            raise Refused(403, "web pages may not ask here")
        type_ = head.fields.get("content-type", "").partition(";")[0]
        if route.wants is not None and type_ != "application/json":  # guard: no form
            raise Refused(415, "the request is to be application/json")
        if self._tokens is None:
            if not _by_address(head.fields.get("host", "")):  # guard: no name that was made to point here
                raise Refused(403, "ask by address, or by localhost")
        elif not route.open:
            scheme, _, token = head.fields.get("authorization", "").partition(" ")
            if scheme.lower() != "bearer" or self._tokens.whose(token.strip()) is None:  # guard: tokens. All but probes
                raise Refused(401, "a token is wanted: set HOLDFAST_TOKEN, or give --token-file")


def _head(raw: bytes) -> _Head:
    first, *lines = raw.decode("latin-1").rstrip("\r\n").split("\r\n")
    method, _, rest = first.partition(" ")
    fields = {}
    for line in lines:
        name, _, value = line.partition(":")
        fields[name.strip().lower()] = value.strip()
    return _Head(method, rest.partition(" ")[0].partition("?")[0], fields)


def _length(head: _Head) -> int:
    text = head.fields.get("content-length", "0" if "transfer-encoding" not in head.fields else "")
    if not text.isascii() or not text.isdigit():
        raise Refused(411, "how long the request is has to be said")
    if int(text) > BODY_BYTES_MAX:
        raise Refused(413, f"a request has at most {BODY_BYTES_MAX} bytes")
    return int(text)


def _by_address(host: str) -> bool:
    name = host.partition("]")[0].removeprefix("[") if host.startswith("[") else host.partition(":")[0]
    if name.lower() == "localhost":
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _status_of(error: HoldfastError) -> int:
    if isinstance(error, NotAuthorized):
        return 403
    return 400 if isinstance(error, ConfigurationError) else 409


def _written(page: Page) -> bytes:
    body = page.body.encode()
    lines = (f"HTTP/1.1 {page.status} {HTTPStatus(page.status).phrase}", f"Content-Type: {page.media_type}",
             f"Content-Length: {len(body)}", "Connection: close", "Cache-Control: no-store", "", "")
    return "\r\n".join(lines).encode() + body
