# SPDX-License-Identifier: Apache-2.0
"""A session's beginning and end over HTTP, as the API and the screens have it in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .gate import cookie_name, cookie_of
from .problem import Refused

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from .console import Console
    from .sign_in import User


async def known(console: Console, request: Request, name: str, password: str) -> User:
    """Who it is. Raises Refused: 401 when name and password do not belong together, 429 after too many tries."""
    address = request.client.host if request.client else ""
    wait_s = console.doorkeeper.wait_s(name, address)
    if wait_s:
        raise Refused(429, "too many tries have failed", retry_s=wait_s)
    user = await console.doorkeeper.let_in(name, password, address)
    if user is None:
        raise Refused(401, "name and password do not belong together")
    return user


def begin(console: Console, request: Request, response: Response, user: User) -> None:
    """A new session in a cookie; the one before ends."""
    secure = console.settings.secure
    console.sessions.end(cookie_of(request.headers, secure=secure))
    response.set_cookie(cookie_name(secure=secure), console.sessions.begin(user.name, user.role), path="/",
                        httponly=True, samesite="strict", secure=secure)  # guard: out of scripts' and strangers' reach


def end(console: Console, request: Request, response: Response) -> None:
    """Signs out. Browsers keep pages whole, even those that are not to be stored, to show them when one goes back."""
    secure = console.settings.secure
    console.sessions.end(cookie_of(request.headers, secure=secure))
    response.delete_cookie(cookie_name(secure=secure), path="/", httponly=True, samesite="strict", secure=secure)
    response.headers["Clear-Site-Data"] = '"cache"'  # guard: nothing is left behind in the browser
