# SPDX-License-Identifier: Apache-2.0
"""A console in this process before a server and a desk, and clients of it, one a role."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

import httpx2

from holdfast._base.secret import Secret
from holdfast._base.serving import address_of, listen
from holdfast._redis.open import open_server
from holdfast.console import Console, ConsoleSettings, create_app
from holdfast.console.serving import serve
from holdfast.deadletters.desk import Desk
from tests.support.api_document import Truth

#: Names that begin with their role: who may ask the API by a token.
NAMES = ("viewer.v", "operator.o", "operator.p", "approver.a", "approver.b")


def token(name: str) -> str:
    """The token of this name."""
    return f"token-of-{name}-{'t' * 12}"


class Asking:
    """Whoever asks the console. ``get`` and ``post`` give the answer's JSON, and fail for another status, and for an
    answer that is not as the API's document says."""

    def __init__(self, client: httpx2.AsyncClient, truth: Truth, name: str) -> None:
        self.client, self.truth, self.headers = client, truth, {"Authorization": f"Bearer {token(name)}"}

    async def get(self, path: str, status: int = 200, **query: Any) -> Any:
        return await self._said("GET", path, status, params=query or None)

    async def post(self, path: str, status: int = 200, **body: Any) -> Any:
        return await self._said("POST", path, status, json=body)

    async def _said(self, method: str, path: str, status: int, **more: Any) -> Any:
        answer = await self.client.request(method, f"/api/{path}", headers=self.headers, **more)
        self.truth.check(method, f"/api/{path.partition('?')[0]}", answer)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if "json" in answer.headers.get("content-type", "") else answer.text


class Scene:
    """A console with its clients: ``viewer``, ``operator`` and ``other`` operator, ``approver`` and ``second``."""

    def __init__(self, console: Console, client: httpx2.AsyncClient, document: dict[str, Any]) -> None:
        self.console, self.client, truth = console, client, Truth(document)
        self.viewer, self.operator, self.other, self.approver, self.second = (
            Asking(client, truth, name) for name in NAMES)

    async def until(self, path: str, wanted: Any, seconds: float = 20.0) -> Any:
        """What the viewer is told there once ``wanted`` holds of it."""
        async with asyncio.timeout(seconds):
            while True:
                found = await self.viewer.get(path)
                if wanted(found):
                    return found
                await asyncio.sleep(0.05)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.aclose()
        await self.console.close()


def console_of(url: str, desk_url: str, **settings: Any) -> Console:
    """One that may change things."""
    more = {name: settings.pop(name) for name in ("clock", "users", "applied_of", "brokers") if name in settings}
    how = ConsoleSettings(**{"allow_changes": True, "live_s": 0.3, **settings})
    return Console(lambda: open_server(url), lambda: Desk(desk_url).open(), settings=how,
                   tokens=[(name, Secret(token(name))) for name in NAMES], **more)


@asynccontextmanager
async def scene(url: str, desk_url: str, **settings: Any) -> AsyncIterator[Scene]:
    """It, without a socket between."""
    console = console_of(url, desk_url, **settings)
    app = create_app(console)
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    client = httpx2.AsyncClient(transport=transport, base_url="http://localhost")
    async with Scene(console, client, app.openapi()) as found:
        yield found


@asynccontextmanager
async def served(console: Console) -> AsyncIterator[str]:
    """Its address while it is served."""
    listening, stop = listen("127.0.0.1", 0), asyncio.Event()
    serving = asyncio.create_task(serve(create_app(console), listening, stop))
    try:
        yield address_of(listening, tls=False)
    finally:
        console.stopping.set()
        stop.set()
        await serving
        listening.close()
        await console.close()
