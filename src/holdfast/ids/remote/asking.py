# SPDX-License-Identifier: Apache-2.0
"""One request to one instance of the id service, and what its answer means."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from ..._base.secret import Secret
from ..._base.typed import json_decoder
from ...errors import ConfigurationError, HoldfastError, IdsRefused, MissingExtra, NotAuthorized, ServerUnreachable

if TYPE_CHECKING:
    import httpx2


class OverQuota(IdsRefused):
    """The quota is used up. seconds: as long is to be waited."""

    def __init__(self, message: str, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(message, why="quota")


class TooMany(IdsRefused):
    """So many are not given at once. most: as many are."""

    def __init__(self, message: str, most: int) -> None:
        self.most = most
        super().__init__(message, why="count")


class _Batch(msgspec.Struct):
    ids: list[int]


class _Problem(msgspec.Struct):
    detail: str = ""
    advice: str = ""
    max_count: int | None = None
    retry_after_s: float | None = None


_BATCH = json_decoder(_Batch, strict=False)  # ids are strings, and numbers to us
_PROBLEM = json_decoder(_Problem)


def library() -> Any:
    """The module ``httpx2``; MissingExtra without it."""
    try:
        import httpx2
    except ImportError as error:
        raise MissingExtra("http", "a client of the id service") from error
    return httpx2


class Asking:
    """Connections to the service, of one event loop. The environment's proxy settings are not heeded."""

    def __init__(self, tag: str, *, token: Secret[str] | None, client: str, timeout_s: float,
                 verify: ssl.SSLContext | bool) -> None:
        self._http, self._tag, self._timeout_s = library(), tag, timeout_s
        headers = {"Accept": "application/json", **({"X-Client-Id": client} if client else {})}
        if token is not None:
            headers["Authorization"] = f"Bearer {token.reveal()}"
        self._client: httpx2.AsyncClient = self._http.AsyncClient(
            headers=headers, timeout=timeout_s, trust_env=False, verify=verify,
            limits=self._http.Limits(max_connections=2, max_keepalive_connections=1))

    async def ask(self, url: str, count: int) -> Sequence[int]:
        """So many ids. Raises OverQuota, TooMany, ServerUnreachable, IdsRefused.

        Raises NotAuthorized and ConfigurationError for what waiting does not mend.
        """
        path = f"{url}/v1/ids/{quote(self._tag, safe='')}/batch"
        try:
            async with asyncio.timeout(self._timeout_s):  # of the whole; the library's is of each step
                answer = await self._client.post(path, params={"count": count})
        except (TimeoutError, self._http.TransportError) as error:
            raise ServerUnreachable(f"the id service at {url} did not answer: {type(error).__name__} {error}".rstrip(),
                                    maybe_done=True) from error
        if answer.status_code != 200:
            raise meaning(answer.status_code, answer.content, answer.headers.get("retry-after", ""), url)
        try:
            found = _BATCH.decode(answer.content).ids
        except msgspec.MsgspecError as error:
            raise ServerUnreachable(f"what answers at {url} is no id service: {error}") from error
        if not found:
            raise ServerUnreachable(f"what answers at {url} is no id service: it gave none of {count} ids")
        return found[:count]

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.aclose()


def meaning(status: int, body: bytes, retry_after: str, url: str) -> HoldfastError:
    """What an answer without ids is for whoever asked."""
    try:
        said = _PROBLEM.decode(body)
    except msgspec.MsgspecError:
        said = _Problem()
    text = f"the id service at {url} answered {status}: {said.detail or 'nothing more'}"
    if status == 429:
        return OverQuota(text, _seconds(said, retry_after))
    if status in (401, 403):
        return NotAuthorized(f"{text}. {said.advice or 'Give a token that it knows.'}")
    if status == 422 and said.max_count:
        return TooMany(text, said.max_count)
    if status == 404 or 400 <= status < 408:
        return ConfigurationError(f"{text}. {said.advice or 'Is this the address of an id service?'}")
    return IdsRefused(text, why="service")


def _seconds(said: _Problem, retry_after: str) -> float:
    """Also a date may stand there; nobody of ours writes one, and a second is as good."""
    if said.retry_after_s is not None:
        return said.retry_after_s
    return float(retry_after) if retry_after.isascii() and retry_after.isdigit() else 1.0
