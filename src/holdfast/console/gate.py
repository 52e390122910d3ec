# SPDX-License-Identifier: Apache-2.0
"""The gate: every request passes it, and whoever is nobody goes no further. What a role may do stands at each route.

It runs around the application, so that a route that forgot to ask is closed and not open.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import traceback
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.requests import Request

from .csrf import FIELD, HEADER, SAFE, is_ours, same_origin
from .headers import ALWAYS, answers_to
from .problem import Refused
from .roles import ROLES, Person, Role, may, role_of

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

    from .console import Console

_log = logging.getLogger(__name__)

#: Open to everybody: what a probe and a client's generator need, and how one signs in.
OPEN: Final = frozenset({"/healthz", "/api/openapi.json", "/api/session", "/sign-in"})
STATIC: Final = "/static/"
#: On requests that the script makes by itself: they do not keep a session awake.
LIVE: Final = "x-holdfast-live"
#: It is asked again by itself as well, by a browser that was cut off.
LIVE_PATH: Final = "/api/live"
#: Bytes of a request's body.
BODY_MAX: Final = 20 << 20


def cookie_name(*, secure: bool) -> str:
    """A ``__Host-`` cookie cannot be planted by a neighbouring name; it takes TLS."""
    return "__Host-holdfast" if secure else "holdfast-session"


class Gate:
    """ASGI middleware. Puts on each request that goes on ``state.person``, None at open paths, and ``state.still``,
    which asks again who it is."""

    def __init__(self, app: ASGIApp, console: Console, refuse: Callable[[Console, Scope, Refused], Response]) -> None:
        self._app, self._console, self._refuse = app, console, refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        begun = False

        async def sending(message: Any) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                ours = {name for name, _ in ALWAYS}
                kept = [pair for pair in message.get("headers", ()) if pair[0].lower() not in ours]
                message = {**message, "headers": [*kept, *ALWAYS]}  # guard: the policy is on every answer
            await send(message)

        try:
            scope.setdefault("state", {})["person"] = None
            scope["state"]["person"] = self._passing(scope)
            scope["state"]["still"] = lambda: self._person(scope, Headers(scope=scope), awake=False)
        except Refused as refused:
            await self._refuse(self._console, scope, refused)(scope, receive, sending)
            return
        try:
            await self._app(scope, receive, sending)
        except Exception as error:  # noqa: BLE001 - a server's log would hold its words, which may quote a payload
            _log.error("%s %s", scope["method"], fault_of(error))  # guard: what went wrong is told without its words
            if not begun:
                await self._refuse(self._console, scope, Refused(500, "the log says what"))(scope, receive, sending)

    def _passing(self, scope: Scope) -> Person | None:
        headers, settings = Headers(scope=scope), self._console.settings
        if scope["path"] != "/healthz" and not answers_to(headers.get("host", ""), settings.hosts):
            raise Refused(421, "the console does not answer to this name; --host adds one")
        if scope["method"] not in SAFE:
            _check_unsafe(headers)
        person = self._person(scope, headers, awake=LIVE not in headers and scope["path"] != LIVE_PATH)
        if person is None and scope["path"] not in OPEN and not scope["path"].startswith(STATIC):
            raise Refused(401, "nobody is signed in")  # guard: nothing for nobody
        return person

    def _person(self, scope: Scope, headers: Headers, *, awake: bool) -> Person | None:
        said = headers.get("authorization")
        if said is not None:
            return self._by_token(said)
        settings = self._console.settings
        address = (scope.get("client") or ("", 0))[0]
        if settings.proxy_header and address in settings.proxy_addresses:  # guard: no header from elsewhere
            name = headers.get(settings.proxy_header, "")
            if name:
                return Person(name=name[:255], role=settings.roles.get(name, "viewer"), by="proxy")
        cookie = cookie_of(headers, secure=settings.secure)
        return self._console.sessions.person(cookie, stays_awake=awake)

    def _by_token(self, said: str) -> Person | None:
        scheme, _, token = said.partition(" ")
        found = None
        for name, one in self._console.tokens:
            same = hmac.compare_digest(_digest(token.strip()), _digest(one.reveal()))
            if same and scheme.lower() == "bearer":  # guard: a token that is none opens nothing
                found = Person(name=name, role=role_of(name.partition(".")[0], "the token's name"), by="token")
        return found


def cookie_of(headers: Headers, *, secure: bool) -> str:
    """The session's cookie; empty without one."""
    jar: SimpleCookie = SimpleCookie()
    try:
        jar.load(headers.get("cookie", ""))
    except CookieError:
        return ""
    found = jar.get(cookie_name(secure=secure))
    return found.value if found is not None else ""


def fault_of(error: BaseException) -> str:
    """What went wrong, and where in our code. Not the error's own words: a database's quote what was to be written."""
    ours = [frame for frame in traceback.extract_tb(error.__traceback__) if "holdfast" in frame.filename]
    where = f" at {ours[-1].filename.rpartition('holdfast')[2]}:{ours[-1].lineno} in {ours[-1].name}" if ours else ""
    return f"{type(error).__name__}{where}"


def _check_unsafe(headers: Headers) -> None:
    if not same_origin(headers.get("origin"), headers.get("host", ""), headers.get("sec-fetch-site")):
        raise Refused(403, "the request comes from another page")
    length = headers.get("content-length", "0")
    if "transfer-encoding" in headers or not length.isdecimal():
        raise Refused(411, "say how long the body is")
    if int(length) > BODY_MAX:  # guard: nobody fills memory with a body
        raise Refused(413, f"at most {BODY_MAX} bytes are taken")


class Needs:
    """What a route needs: a dependency, and the mark by which tests find a route that forgot it.

    role: the least that may. changes: it changes something, and so is refused unless changes are allowed.
    """

    def __init__(self, role: Role | None, *, changes: bool = False) -> None:
        if role is not None and role not in ROLES:
            raise ValueError(f"{role!r} is no role")
        self.role, self.changes = role, changes

    async def __call__(self, request: Request) -> Person | None:
        """Who asks. Raises Refused."""
        person: Person | None = request.state.person
        if self.role is None:
            return person
        if person is None:
            raise Refused(401, "nobody is signed in")
        if not may(person.role, self.role):
            raise Refused(403, f"this takes the role {self.role}, and {person.name} is {person.role}")
        if not is_ours(person, request.method, await _token(request)):
            raise Refused(403, f"a change takes the session's token: header {HEADER}, or field {FIELD} of a form")
        if self.changes and not request.app.state.console.settings.allow_changes:  # guard: read-only unless told
            raise Refused(403, "the console is read-only: --allow-changes lets it change things")
        return person


async def _token(request: Request) -> str:
    said = request.headers.get(HEADER)
    form = request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
    if said is not None or not form:
        return said or ""
    fields = parse_qs((await request.body()).decode("utf-8", "replace"))
    return fields.get(FIELD, [""])[0]


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
