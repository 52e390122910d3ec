# SPDX-License-Identifier: Apache-2.0
"""A tiny HTTP server for probes and scrapes: ``/live``, ``/ready``, ``/metrics``. GET and HEAD, a request a connection.

``/live`` answers as long as the event loop turns; who cannot answer it should be restarted. ``/ready`` answers 503
while a source has no lease or has not swept for long: traffic and rollouts should wait, a restart would not help.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import NamedTuple

import msgspec

from ..errors import ConfigurationError
from .plan import Address

#: A request that has not arrived whole after this long, or is longer than this, is none.
PATIENCE_S = 5.0
HEAD_BYTES_MAX = 8_192


class Page(NamedTuple):
    """An answer: status, media type, body."""

    status: int
    media_type: str
    body: str


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """Is a process ready? ``why``: what is missing, a line each; empty when it is."""

    ready: bool
    why: list[str] = []


def live() -> Page:
    """The loop turns, or this would not run."""
    return Page(200, "text/plain; charset=utf-8", "ok\n")


def ready(state: Readiness) -> Page:
    """200 or 503, and why."""
    return Page(200 if state.ready else 503, "application/json", msgspec.json.encode(state).decode() + "\n")


async def serve(flag: str, address: Address, pages: Mapping[str, Callable[[], Page]]) -> asyncio.Server:
    """Starts serving ``pages`` by path. ``flag`` is named when the address cannot be had (ConfigurationError)."""
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(PATIENCE_S):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(response(head, pages))
                await writer.drain()
        writer.close()

    host, port = address
    try:
        return await asyncio.start_server(answer, host or None, port, limit=HEAD_BYTES_MAX)
    except OSError as error:
        raise ConfigurationError(f"{flag}: cannot listen on {host or '*'}:{port}: {error.strerror or error}") from error


def response(head: bytes, pages: Mapping[str, Callable[[], Page]]) -> bytes:
    """The bytes that answer a request's head."""
    method, _, rest = head.partition(b"\r\n")[0].decode("latin-1").partition(" ")
    page = _page(method, rest.partition(" ")[0].partition("?")[0], pages)
    body = page.body.encode()
    lines = (f"HTTP/1.1 {page.status} {HTTPStatus(page.status).phrase}", f"Content-Type: {page.media_type}",
             f"Content-Length: {len(body)}", "Connection: close", "Cache-Control: no-store", "", "")
    return "\r\n".join(lines).encode() + (b"" if method == "HEAD" else body)


def _page(method: str, path: str, pages: Mapping[str, Callable[[], Page]]) -> Page:
    if method not in ("GET", "HEAD"):
        return Page(405, "text/plain; charset=utf-8", "only GET and HEAD\n")
    if path not in pages:
        return Page(404, "text/plain; charset=utf-8", "there are " + ", ".join(sorted(pages)) + "\n")
    return pages[path]()
