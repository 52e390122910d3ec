# SPDX-License-Identifier: Apache-2.0
"""What the console answers when it does not do what was asked: problem details (RFC 9457). No payload is in them."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from starlette.responses import Response

from ..errors import (
    CaseMoved,
    ConfigurationError,
    HoldfastError,
    LetterError,
    LetterNotFound,
    ServerError,
    ServerUnreachable,
)

MEDIA_TYPE: Final = "application/problem+json"
TITLES: Final = {
    400: "The request cannot be understood", 401: "Sign in, or send a token", 403: "This is not allowed",
    404: "There is nothing here", 405: "This method is not taken here", 409: "It has changed, or cannot be done now",
    411: "The length of the body is wanted", 413: "The body is too large", 421: "The console has another name",
    422: "The request is not sound", 429: "Too many tries", 500: "Something is wrong with the console",
    503: "What it needs does not answer",
}


class Problem(msgspec.Struct, frozen=True):
    """What is answered."""

    title: str
    status: int
    detail: str
    type: str = "about:blank"


class Refused(Exception):
    """Raised where something is not done; becomes the answer. retry_s: sooner it is in vain."""

    def __init__(self, status: int, detail: str, *, retry_s: float = 0.0) -> None:
        self.status, self.retry_s = status, retry_s
        super().__init__(detail)


def answer(refused: Refused) -> Response:
    """The answer."""
    headers: dict[str, str] = {}
    if refused.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if refused.retry_s:
        headers["Retry-After"] = str(-int(-refused.retry_s // 1))
    body = Problem(TITLES.get(refused.status, "This was not done"), refused.status, str(refused))
    return Response(msgspec.json.encode(body), refused.status, headers=headers, media_type=MEDIA_TYPE)


def refused_of(error: Any) -> Refused:
    """What an error of ours means to whoever asked."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, LetterNotFound):
        return Refused(404, str(error))
    if isinstance(error, (CaseMoved, LetterError)):
        return Refused(409, str(error))
    if isinstance(error, ConfigurationError):
        return Refused(404, str(error))
    if isinstance(error, (ServerUnreachable, ServerError, TimeoutError)):
        return Refused(503, str(error) or "it did not answer in time", retry_s=2.0)
    return Refused(409, str(error)) if isinstance(error, HoldfastError) else Refused(500, "the log says what")
