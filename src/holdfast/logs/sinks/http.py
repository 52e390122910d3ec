# SPDX-License-Identifier: Apache-2.0
"""Batches posted over HTTP, and what an answer means for them.

::

    2xx                    taken; the body may say more
    400, 413, 422          something in the batch is bad: halved and sent again until the bad record stands alone
    401, 403, 404, …       nothing is wrong with the batch: a token or an address wants mending. As when it is down
    408, 429, 5xx          overloaded or away: the batch comes again, after ``Retry-After`` where it is said

Halving is right only where a refused request has changed nothing, which both contracts say.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from ..._base.quiet import quiet
from ..._base.secret import Resolver, Secret, SecretRef, resolve
from ...errors import ConfigurationError, MissingExtra, SecretUnavailable
from ..sink import SinkDown

if TYPE_CHECKING:
    import httpx2

T = TypeVar("T")

#: Bytes of an answer that are read; a bulk answer has some 300 a record.
ANSWER_MAX: Final = 64 << 20
_BAD: Final = (400, 413, 422)

HeaderValue = str | Secret[str] | SecretRef


class Bad(Exception):
    """The server refused a request for what is in it, and has taken nothing of it."""

    def __init__(self, status: int, said: str) -> None:
        self.status = status
        super().__init__(f"{status}: {said}" if said else str(status))


class Post:
    """Posts to one server. headers: of every request; values may be secrets, resolved each time anew.

    timeout_s: for one request, all in all.
    """

    def __init__(self, url: str, *, needed_for: str, headers: Mapping[str, HeaderValue] | None = None,
                 secrets: Resolver | None = None, timeout_s: float = 30.0) -> None:
        if not url.startswith(("http://", "https://")):
            raise ConfigurationError(f"{needed_for}: the address is to begin with http:// or https://")
        try:
            import httpx2
        except ImportError as error:
            raise MissingExtra("http", needed_for) from error
        self._http: Any = httpx2
        self._url, self._headers, self._secrets = url.rstrip("/"), dict(headers or {}), secrets
        self._timeout_s, self._what = timeout_s, needed_for.removeprefix("the ")
        self._client: httpx2.AsyncClient | None = None

    async def send(self, path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
        """The body of an answer that says yes. Raises SinkDown, or Bad."""
        status, after, answer = await self._sent(path, body, headers)
        if 200 <= status < 300:
            return answer
        said = answer[:300].decode("utf-8", "replace")
        if status in _BAD:
            raise Bad(status, said)
        raise SinkDown(f"{self._what}: the server answers {status}{_advice(status)}", retry_after_s=after)

    async def _sent(self, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, float | None, bytes]:
        http = self._http
        try:
            with quiet():  # guard: an address may be a key, and is in no log
                async with asyncio.timeout(self._timeout_s):
                    return await self._asked(self._url + path, body, {**self._known(), **headers})
        except (TimeoutError, http.HTTPError, http.InvalidURL) as error:
            raise SinkDown(f"{self._what}: no answer ({type(error).__name__})") from error

    def _known(self) -> dict[str, str]:
        found = {}
        for name, given in self._headers.items():
            try:
                secret = resolve(given, self._secrets)
            except SecretUnavailable as error:
                raise SinkDown(f"{self._what}: header {name}: {error}") from error
            found[name] = secret.reveal() if secret is not None else ""
        return found

    async def _asked(self, url: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, float | None, bytes]:
        if self._client is None:
            self._client = self._http.AsyncClient(timeout=self._timeout_s, follow_redirects=False)
        async with self._client.stream("POST", url, content=body, headers=dict(headers)) as answer:
            parts, size = [], 0
            async for part in answer.aiter_bytes():
                parts.append(part)
                size += len(part)
                if size > ANSWER_MAX:
                    raise SinkDown(f"{self._what}: an answer of more than {ANSWER_MAX} bytes: take smaller batches")
            return answer.status_code, after_s(answer.headers.get("Retry-After", "")), b"".join(parts)

    async def close(self) -> None:
        """Closes connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()


class Alone(NamedTuple):
    """An item that was refused when it stood alone, and what the server said."""

    item: Any
    why: Bad


async def halving(items: Sequence[T], send: Callable[[Sequence[T]], Awaitable[None]]) -> list[Alone]:
    """Sends ``items`` together; where that is refused, their halves, down to the bad ones, in order."""
    alone: list[Alone] = []
    waiting = [list(items)]
    while waiting:
        part = waiting.pop()
        try:
            await send(part)
        except Bad as error:
            if len(part) == 1:
                alone.append(Alone(part[0], error))  # guard: only what is refused alone is refused
            else:
                middle = len(part) // 2
                waiting += [part[middle:], part[:middle]]
    return alone


def after_s(text: str) -> float | None:
    """``Retry-After`` in seconds. Its other form, a date, is not asked for by either contract: None."""
    return float(text) if text.isascii() and text.isdigit() and len(text) < 6 else None


def _advice(status: int) -> str:
    if status in (401, 403):
        return ": mend the token, or its rights"
    if status in (404, 405) or 300 <= status < 400:
        return ": mend the address"
    return ""
