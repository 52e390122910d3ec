# SPDX-License-Identifier: Apache-2.0
"""The desk over HTTP. ``words`` says which addresses there are.

What blocks runs in threads. A body is refused by its length before a byte of it is read, and is there in half a minute.
Who has not said who he is gets his answer, and his connection ends. Nothing here logs what was
asked: errors go to whoever asked, and of what nobody expected the log has the kind alone.

Needs the extra ``serve``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec
from fastapi import FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from ... import __version__
from ..._base.secret import Secret
from ..._base.typed import from_json
from ...errors import ConfigurationError, HoldfastError, SecretDenied
from ..access import Action, Holder
from ..names import CURRENT, check_size
from .desk import Desk
from .words import (
    PLACE_HEADER,
    TERM_HEADER,
    UNSEAL_MAX,
    VERSION_HEADER,
    Problem,
    Unsealing,
    problem_of,
    version_text,
)

log = logging.getLogger("holdfast")
T = TypeVar("T")

_NEVER = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_BYTES = "application/octet-stream"
_JSON = "application/json"
#: Decimal digits of a number in an address.
_DIGITS_MAX = 18
#: Seconds that a body may take.
BODY_S: Final = 30.0


def build(desk: Desk) -> FastAPI:
    """See ``create_app``."""
    app = FastAPI(title="Holdfast secrets", version=__version__, docs_url=None, redoc_url=None, openapi_url=None,
                  redirect_slashes=False)
    app.state.desk = desk
    _refusals(app)
    _reading(app, desk)
    _changing(app, desk)
    _sealing(app, desk)
    _around(app, desk)
    return app


def _reading(app: FastAPI, desk: Desk) -> None:
    @app.get("/v1/secrets/{name:path}")
    async def get(name: str, request: Request) -> Response:
        version, label = _number(request, "version"), request.query_params.get("label", CURRENT)
        found = await _run(request, desk, lambda who: desk.as_(who).get(name, version, label))
        return _answer(desk, found.value.reveal(), media_type=_BYTES,
                       headers={VERSION_HEADER: version_text(found.version)})

    @app.get("/v1/names")
    async def names(request: Request) -> Response:
        prefix = request.query_params.get("prefix", "")
        found = await _run(request, desk, lambda who: desk.as_(who).names(prefix))
        return _answer(desk, msgspec.json.encode(found))

    @app.get("/v1/history/{name:path}")
    async def history(name: str, request: Request) -> Response:
        found = await _run(request, desk, lambda who: desk.as_(who).history(name))
        return _answer(desk, msgspec.json.encode(found))

    @app.get("/v1/feed")
    async def feed(request: Request) -> Response:
        file, since = request.query_params.get("file", ""), _number(request, "since") or 0
        piece = await _run(request, desk, lambda who: desk.feed(who, file, since))
        return _answer(desk, piece.data, media_type=_BYTES, headers={
            PLACE_HEADER: msgspec.json.encode((piece.place, piece.since)).decode()})


def _changing(app: FastAPI, desk: Desk) -> None:
    @app.put("/v1/secrets/{name:path}")
    async def put(name: str, request: Request) -> Response:
        check_size(_told_size(request))  # guard: nobody fills memory with a body
        label, expect = request.query_params.get("label", CURRENT), _number(request, "expect")
        who = await _entered(request, desk)
        value = Secret(await _body(request))
        made = await _run(request, desk, lambda who: desk.as_(who).put(name, value, label, expect), who=who)
        return _answer(desk, msgspec.json.encode(made))

    @app.post("/v1/labels/{name:path}")
    async def label(name: str, request: Request) -> Response:
        told, version = request.query_params.get("label", ""), _number(request, "version")
        expect = _number(request, "expect")
        await _run(request, desk, lambda who: desk.as_(who).label(name, told, version, expect))
        return _answer(desk, b"null")

    def turning(what: str) -> Callable[..., Any]:
        async def turn(name: str, request: Request) -> Response:
            version = _number(request, "version")
            await _run(request, desk, lambda who: desk.as_(who).turn(what, name, version))
            return _answer(desk, b"null")

        return turn

    for what in ("delete", "undelete", "destroy"):
        app.add_api_route(f"/v1/{what}/{{name:path}}", turning(what), methods=["POST"], name=what)

    @app.post("/v1/approvals/{name:path}")
    async def approve(name: str, request: Request) -> Response:
        who, said = request.query_params.get("who", ""), request.query_params.get("action", "")
        if said not in {action.value for action in Action}:
            raise ConfigurationError(f"an action is one of {', '.join(action.value for action in Action)}")
        given = await _run(request, desk, lambda holder: desk.approve(holder, who, Action(said), name))
        return _answer(desk, msgspec.json.encode(given))


def _sealing(app: FastAPI, desk: Desk) -> None:
    @app.post("/v1/unseal")
    async def unseal(request: Request) -> Response:
        if _told_size(request) > UNSEAL_MAX:
            raise ConfigurationError(f"what opens a store has up to {UNSEAL_MAX:,} bytes")
        who = await _entered(request, desk)
        given = _unsealing(await _body(request))
        return _answer(desk, msgspec.json.encode(await run_in_threadpool(desk.unseal, who, given)))

    @app.post("/v1/seal")
    async def seal(request: Request) -> Response:
        who = await _entered(request, desk)
        return _answer(desk, msgspec.json.encode(await run_in_threadpool(desk.seal, who)))


def _unsealing(raw: bytes) -> Unsealing:
    try:
        given = from_json(raw, Unsealing)
    except (msgspec.MsgspecError, ValueError):
        raise ConfigurationError("a store is opened by a passphrase, or by a share") from None
    if bool(given.passphrase) is bool(given.share):
        raise ConfigurationError("a store is opened by a passphrase, or by a share: say one of them")
    return given


def _around(app: FastAPI, desk: Desk) -> None:
    @app.get("/healthz")
    async def healthz() -> Response:
        """200 as long as the process turns: whoever cannot answer it should be restarted."""
        return _answer(desk, b"ok\n", media_type="text/plain; charset=utf-8")

    @app.get("/readyz")
    async def readyz() -> Response:
        """503 while secrets cannot be read here, as while the store is sealed: a restart would not help."""
        why = await run_in_threadpool(desk.why_not_ready)
        standing = desk.terms.standing
        said = {"ready": not why, "why": [why] if why else [], "role": standing.role.value, "term": standing.term}
        return _answer(desk, msgspec.json.encode(said), 503 if why else 200)


async def _entered(request: Request, desk: Desk) -> Holder:
    """Who asks, after what he knows of terms was heard."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    given = Secret(token.strip()) if scheme.lower() == "bearer" else None
    peer = request.scope.get("state", {}).get("peer", "")
    holder: Holder = await run_in_threadpool(desk.holder, given, peer)
    request.state.known = True
    await run_in_threadpool(desk.terms.heard, request.headers.get(TERM_HEADER, ""))
    return holder


async def _run(request: Request, desk: Desk, call: Callable[[Holder], T], who: Holder | None = None) -> T:
    holder = who or await _entered(request, desk)
    found: T = await run_in_threadpool(desk.call, call, holder)
    return found


async def _body(request: Request) -> bytes:
    try:
        async with asyncio.timeout(BODY_S):  # guard: nobody has a connection by sending nothing
            return await request.body()
    except (TimeoutError, ClientDisconnect):
        raise ConfigurationError(f"what was to be sent did not come within {BODY_S:g} seconds") from None


def _told_size(request: Request) -> int:
    said = request.headers.get("content-length", "")
    if not said.isascii() or not said.isdigit() or len(said) > _DIGITS_MAX or "transfer-encoding" in request.headers:
        raise ConfigurationError("the length of a value is told before it: send Content-Length")
    return int(said)


def _number(request: Request, what: str) -> int | None:
    said = request.query_params.get(what)
    if said is None:
        return None
    if not said.removeprefix("-").isascii() or not said.removeprefix("-").isdigit() or len(said) > _DIGITS_MAX:
        raise ConfigurationError(f"{what} is a number, and this is none")
    return int(said)


def _answer(desk: Desk, body: bytes, status: int = 200, *, media_type: str = _JSON,
            headers: dict[str, str] | None = None) -> Response:
    return Response(body, status, media_type=media_type, headers={
        **_NEVER, TERM_HEADER: desk.terms.told, **(headers or {})})


def _refusals(app: FastAPI) -> None:
    async def refused(request: Request, error: Exception) -> Response:
        status, problem = problem_of(error)
        if isinstance(error, SecretDenied) and not request.headers.get("authorization"):
            status = 401
        answer = _problem(app.state.desk, status, problem)
        if request.method in ("PUT", "POST") and status == 400:  # what was refused unread is not waited for
            answer.headers["Connection"] = "close"
        return answer

    async def elsewhere(_: Request, error: Exception) -> Response:
        status = getattr(error, "status_code", 500)
        return _problem(app.state.desk, status, Problem(
            *(("ConfigurationError", "there is no such address here") if status < 500 else _fault())))

    async def fault(_: Request, error: Exception) -> Response:
        log.error("the secret server failed: %s", type(error).__name__)
        return _problem(app.state.desk, 500, Problem(*_fault()))

    app.add_exception_handler(HoldfastError, refused)
    app.add_exception_handler(HTTPException, elsewhere)
    app.middleware("http")(_whole(fault))


def _whole(fault: Callable[[Request, Exception], Any]) -> Callable[..., Any]:
    """What nobody expected ends here: the library would print its trace."""
    async def whole(request: Request, go_on: Callable[[Request], Any]) -> Response:
        try:
            answer: Response = await go_on(request)
        except Exception as error:  # noqa: BLE001 - whatever it is, whoever asked is told that there was something
            answer = await fault(request, error)
        if not getattr(request.state, "known", False):  # guard: a stranger keeps no connection
            answer.headers["Connection"] = "close"
        return answer

    return whole


def _fault() -> tuple[str, str]:
    return "SecretUnavailable", "the server failed: its log says how"


def _problem(desk: Desk, status: int, problem: Problem) -> Response:
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    return _answer(desk, msgspec.json.encode(problem), status, headers=headers)

