# SPDX-License-Identifier: Apache-2.0
"""The way to etcd: one request, one answer, and no word said twice unless that is harmless.

A request that never left (no connection came about) goes to the next endpoint at once. One that was sent and not
answered may have been carried out: it raises ``ServerUnreachable`` with ``maybe_done``, and whoever asked knows what
asking again would mean. Only questions that change nothing are asked again here.

The environment's proxy settings are not heeded: the endpoints are all that is spoken to.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from .._base.typed import from_json
from ..errors import ConfigurationError, MissingExtra, NotAuthorized, ServerError, ServerRefused, ServerUnreachable

if TYPE_CHECKING:
    import httpx2

    from .etcd_words import Words

#: Name and password of a user of etcd's.
User = tuple[str, str]
_AUTHENTICATE = "/v3/auth/authenticate"
#: gRPC status codes (https://grpc.io/docs/guides/status-codes) that speak of the way, not of the request.
_UNANSWERED = {1, 4, 14}
_FORBIDDEN = {7, 16}
#: What etcd says of a token that it does not know, which it forgets after minutes and at a restart.
_STALE = "invalid auth token"
_NAMES = {3: "INVALID_ARGUMENT", 5: "NOT_FOUND", 6: "ALREADY_EXISTS", 8: "RESOURCE_EXHAUSTED", 9: "FAILED_PRECONDITION",
          11: "OUT_OF_RANGE"}


def _library() -> Any:
    try:
        import httpx2
    except ImportError as error:
        raise MissingExtra("http", "etcd") from error
    return httpx2


class Gateway:
    """Connections of one purpose to the members of one etcd.

    endpoints: ``http://host:2379`` or ``https://…``, of which one after the other is tried. timeout_s: longest wait for
    an answer; a shorter one leaves a slow server in doubt more often. verify: for https, the context that knows the
    certificates, and our own where the server asks for one; None trusts what the system trusts. user: name and
    password, where etcd has authentication switched on. connections: at most so many at once.

    Raises MissingExtra without httpx2, ConfigurationError without endpoints.
    """

    def __init__(self, endpoints: Sequence[str], *, timeout_s: float = 2.0, verify: ssl.SSLContext | None = None,
                 user: User | None = None, connections: int = 20) -> None:
        self._http = _library()
        self._user, self._token = user, ""
        self.endpoints = tuple(endpoint.rstrip("/") for endpoint in endpoints)
        if not self.endpoints or not all(each.startswith(("http://", "https://")) for each in self.endpoints):
            raise ConfigurationError("etcd needs at least one endpoint: http://host:2379 or https://host:2379")
        self.timeout_s, self._at = timeout_s, 0
        secure = any(endpoint.startswith("https") for endpoint in self.endpoints)
        self._client: httpx2.AsyncClient = self._http.AsyncClient(
            verify=verify or secure, trust_env=False,  # without https there is no need to read certificates
            limits=self._http.Limits(max_connections=connections, max_keepalive_connections=connections))

    async def call(self, path: str, body: Words, *, timeout_s: float | None = None, reads: bool = False) -> Words:
        """One answer. reads: the request changes nothing, so it may be asked again at another endpoint.

        Raises ServerUnreachable (``maybe_done``: it was sent), ServerRefused (``code``: gRPC's word, as NOT_FOUND),
        NotAuthorized.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + (timeout_s or self.timeout_s)
        for more in reversed(range(len(self.endpoints))):
            left_s = max(0.001, end - loop.time())
            share_s = left_s / (more + 1)  # an endpoint that is silent leaves some time to the others
            try:
                return await self._as_user(path, body, share_s if reads else left_s, share_s)
            except ServerUnreachable as error:
                self._at += 1
                if not more or (error.maybe_done and not reads):  # guard: what may have been done is not said again
                    raise
        raise AssertionError  # there is an endpoint

    async def _as_user(self, path: str, body: Words, answer_s: float, connect_s: float) -> Words:
        """Asks, and once more with another token when etcd does not know the one it gave: it has done nothing then."""
        if self._user is None:
            return await self._once(path, body, answer_s, connect_s)
        if not self._token:
            await self._authenticate(answer_s, connect_s)
        try:
            return await self._once(path, body, answer_s, connect_s)
        except NotAuthorized as error:
            if _STALE not in str(error):
                raise
            await self._authenticate(answer_s, connect_s)
            return await self._once(path, body, answer_s, connect_s)

    async def _authenticate(self, answer_s: float, connect_s: float) -> None:
        name, password = self._user or ("", "")
        self._token = ""
        try:
            said = await self._once(_AUTHENTICATE, {"name": name, "password": password}, answer_s, connect_s)
        except ServerUnreachable as error:  # guard: what was to be asked was not sent
            raise ServerUnreachable(str(error), maybe_done=False) from error
        except ServerRefused as error:
            raise NotAuthorized(f"etcd does not authenticate user {name!r}: {error}") from error
        self._token = str(said["token"])

    def forget(self) -> None:
        """Authenticates anew at the next request."""
        self._token = ""

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": self._token} if self._token else {}

    async def _once(self, path: str, body: Words, answer_s: float, connect_s: float) -> Words:
        try:
            async with asyncio.timeout(answer_s):
                answer = await self._client.post(self._endpoint + path, json=body, headers=self._headers,
                                                 timeout=self._http.Timeout(answer_s, connect=connect_s))
        except (TimeoutError, self._http.TransportError) as error:
            raise self._unreachable(error) from error
        return _parsed(answer.content.partition(b"\n")[0], answer.status_code)

    @contextlib.asynccontextmanager
    async def stream(self, path: str, body: Words, *, silent_s: float) -> AsyncIterator[AsyncIterator[Words]]:
        """Answers as they come. ServerUnreachable when it breaks off, or is silent for longer than ``silent_s``."""
        timeout = self._http.Timeout(self.timeout_s, read=silent_s)
        if self._user is not None and not self._token:
            await self._authenticate(self.timeout_s, self.timeout_s)
        try:
            async with self._client.stream("POST", self._endpoint + path, json=body, headers=self._headers,
                                           timeout=timeout) as answer:
                yield _lines(answer)
        except self._http.TransportError as error:
            self._at += 1
            raise self._unreachable(error) from error

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    @property
    def silence(self) -> type[Exception]:
        """The cause of what a stream raises that was silent for too long."""
        error: type[Exception] = self._http.ReadTimeout
        return error

    @property
    def _endpoint(self) -> str:
        return self.endpoints[self._at % len(self.endpoints)]

    def _unreachable(self, error: Exception) -> ServerUnreachable:
        never_left = isinstance(error, self._http.ConnectError | self._http.ConnectTimeout | self._http.PoolTimeout)
        done = "cannot be reached" if never_left else "did not answer"
        return ServerUnreachable(f"etcd at {self._endpoint} {done}: {type(error).__name__}: {error}",
                                 maybe_done=not never_left)


async def _lines(answer: httpx2.Response) -> AsyncIterator[Words]:
    async for line in answer.aiter_lines():
        if line:
            yield _parsed(line.encode(), answer.status_code)


def _parsed(line: bytes, status: int) -> Words:
    """The answer, out of the envelope that streams have; raises what it says went wrong."""
    try:
        answer: Words = from_json(line, dict[str, Any])
    except msgspec.DecodeError as error:
        raise ServerRefused(f"this is no etcd v3 JSON gateway: HTTP {status}, {line[:80]!r}", code="HTTP") from error
    if "error" in answer:
        raise _error(answer)
    result: Words = answer.get("result", answer)
    return result


def _error(answer: Words) -> ServerError:
    wrapped = answer["error"]
    inner: Words = wrapped if isinstance(wrapped, dict) else answer
    code, said = int(inner.get("grpc_code") or inner.get("code") or 2), inner.get("message", wrapped)
    if code in _UNANSWERED:
        return ServerUnreachable(f"etcd could not do it in time: {said}", maybe_done=True)
    if code in _FORBIDDEN:
        return NotAuthorized(f"etcd refuses: {said}; give its user the right to this key")
    return ServerRefused(f"etcd refuses: {said}", code=_NAMES.get(code, "UNKNOWN"))
