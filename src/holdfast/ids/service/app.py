# SPDX-License-Identifier: Apache-2.0
"""The desk over HTTP: an ASGI application that describes itself at ``/openapi.json``.

Ids are made by POST. A GET may be answered by a cache, and repeated by whoever likes; an id that is answered twice is
what must not be. A reply that is lost on its way costs ids, and nothing else.

Ids are JSON strings: JavaScript, and others that read numbers as it does, lose what is beyond 53 bits. ``Accept:
text/plain`` has them one a line.

Needs the extra ``serve``; ``holdfast.ids.service.create_app`` says so where it is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPBearer
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from ... import __version__
from .access import Tokens
from .desk import Desk
from .problem import KINDS, MEDIA_TYPE, PATH, Refused

#: What a client may call itself: what is longer is cut.
CLIENT_MAX = 64
#: A request has no body; a small one is passed over.
BODY_MAX = 1024
_PLAIN = "text/plain; charset=utf-8"
_NEVER = {"Cache-Control": "no-store"}
_BEARER = HTTPBearer(auto_error=False, description="One of the service's tokens.")

Answers = dict[int | str, dict[str, Any]]
#: A page of metrics: its media type, and its text.
Metrics = Callable[[], tuple[str, str]]


class Id(BaseModel):
    """One id, in decimal digits."""

    id: str


class Ids(BaseModel):
    """Ids, in decimal digits."""

    ids: list[str]


class TagInfo(BaseModel):
    """A tag. rate, burst: of its quota, in ids; absent when it has none."""

    tag: str
    kind: str
    max_count: int
    rate: float | None = None
    burst: int | None = None


class Ready(BaseModel):
    """Whether ids can be had. why: what is missing, a line each."""

    ready: bool
    why: list[str]


class Problem(BaseModel):
    """RFC 9457. ``type`` says which problem it is, and is a page that says what to do."""

    type: str
    title: str
    status: int
    detail: str
    advice: str
    max_count: int | None = None
    retry_after_s: float | None = None


def _said(*statuses: int) -> Answers:
    """How the schema describes the answers that are no ids."""
    schema = {"schema": {"$ref": "#/components/schemas/Problem"}}
    return {status: {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: schema}} for status in statuses}


class _App(FastAPI):
    """One whose schema knows what a problem looks like: as a model it would be said to be ``application/json``."""

    def openapi(self) -> dict[str, Any]:
        said = super().openapi()
        said["components"]["schemas"]["Problem"] = Problem.model_json_schema()
        return said


async def _caller(request: Request) -> str:  # one that is not async would run in a thread of its own
    """Who asks: the name of the token's owner, or what a client calls itself where there are no tokens."""
    tokens: Tokens | None = request.app.state.tokens
    if tokens is None:
        return request.headers.get("x-client-id", "")[:CLIENT_MAX]
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    name = tokens.whose(token.strip()) if scheme.lower() == "bearer" else None
    if name is None:  # guard: nobody without a token
        raise Refused("no-token", "the request has no token of this service")
    return name


Caller = Annotated[str, Depends(_caller)]
Count = Annotated[int, Query(ge=1, description="how many; at most the tag's max_count")]


def build(desk: Desk, *, tokens: Tokens | None = None, metrics: Metrics | None = None) -> FastAPI:
    """See ``holdfast.ids.service.create_app``."""
    app = _App(title="Holdfast id service", version=__version__, docs_url=None, redoc_url=None,
               summary="Ids that cannot collide, for whoever speaks HTTP.")
    app.state.tokens = tokens
    _refusals(app)
    _probes(app, desk, metrics)
    asked = APIRouter(dependencies=[] if tokens is None else [Depends(_BEARER)], tags=["ids"])  # for the schema
    _issuing(asked, desk)
    app.include_router(asked)
    return app


def _issuing(app: APIRouter, desk: Desk) -> None:
    plain: Answers = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}
    problems = _said(401, 404, 413, 422, 429, 503)

    @app.post("/v1/ids/{tag}/next", response_model=Id, responses={**problems, **plain})
    async def next_(tag: str, request: Request, client: Caller) -> Response:
        """Makes one id of a tag."""
        _without_body(request)
        return _one((await desk.issue(tag, 1, client))[0], _wants_text(request))

    @app.post("/v1/ids/{tag}/batch", response_model=Ids, responses={**problems, **plain})
    async def batch(tag: str, request: Request, client: Caller, count: Count) -> Response:
        """Makes several ids of a tag, in growing order where its kind has one."""
        _without_body(request)
        return _many(await desk.issue(tag, count, client), _wants_text(request))

    @app.get("/v1/tags", responses=_said(401))
    async def tags(_: Caller) -> list[TagInfo]:
        """The tags there are."""
        return [TagInfo(tag=name, kind=tag.kind, max_count=desk.max_count(name),
                        rate=None if tag.quota is None else tag.quota.rate,
                        burst=None if tag.quota is None else tag.quota.burst)
                for name, tag in desk.tags.items()]


def _probes(app: FastAPI, desk: Desk, metrics: Metrics | None) -> None:
    @app.get(PATH + "{name}", responses=_said(404, 422), response_class=Response, tags=["problems"])
    async def problem(name: str) -> Response:
        """What a problem means, and what to do."""
        if name not in KINDS:
            raise Refused("not-found", f"there is no problem called {name!r}")
        return Response(f"{KINDS[name].title}.\n{KINDS[name].advice}\n", media_type=_PLAIN)

    @app.get("/healthz", response_class=Response, tags=["probes"])
    async def healthz() -> Response:
        """200 as long as the process turns: whoever cannot answer it should be restarted."""
        return Response("ok\n", media_type=_PLAIN, headers=_NEVER)

    @app.get("/readyz", response_model=Ready, responses={503: {"model": Ready}}, tags=["probes"])
    async def readyz() -> Response:
        """503 while a tag has no ids: traffic should wait, and a restart would not help."""
        found = desk.readiness()
        return Response(msgspec.json.encode(found), 200 if found.ready else 503, media_type="application/json",
                        headers=_NEVER)

    @app.get("/metrics", response_class=Response, responses=_said(404), tags=["probes"])
    async def page() -> Response:
        """For Prometheus."""
        if metrics is None:
            raise Refused("not-found", "the service has no metrics: install holdfast[metrics]")
        media_type, text = metrics()
        return Response(text, media_type=media_type)


def _refusals(app: FastAPI) -> None:
    """Whatever gives no id answers with a problem."""
    async def refused(_: Request, error: Exception) -> Response:
        return _problem(error if isinstance(error, Refused) else Refused("fault", "the log says what"))

    async def invalid(_: Request, error: Exception) -> Response:
        said = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in _errors(error))
        name = "count" if any(each["loc"][-1:] == ("count",) for each in _errors(error)) else "bad-request"
        return _problem(Refused(name, said))

    async def elsewhere(_: Request, error: Exception) -> Response:
        status, detail = getattr(error, "status_code", 500), str(getattr(error, "detail", ""))
        name = {404: "not-found", 405: "method", 401: "no-token"}.get(status, "bad-request")
        return _problem(Refused(name, detail), getattr(error, "headers", None))

    app.add_exception_handler(Refused, refused)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, elsewhere)
    app.add_exception_handler(Exception, refused)


def _errors(error: Exception) -> Sequence[Any]:
    return error.errors() if isinstance(error, RequestValidationError) else ()


def _problem(refused: Refused, more: Any = None) -> Response:
    said = refused.problem
    headers = {**_NEVER, **(more or {})}
    if said.retry_after_s is not None:  # whole seconds are all that the header can say; the body says the rest
        headers["Retry-After"] = str(max(1, -int(-said.retry_after_s // 1)))
    if said.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if said.status == 413:
        headers["Connection"] = "close"
    return Response(msgspec.json.encode(said), said.status, media_type=MEDIA_TYPE, headers=headers)


def _one(made: int, as_text: bool) -> Response:
    if as_text:
        return Response(f"{made}\n", media_type=_PLAIN, headers=_NEVER)
    return Response(f'{{"id":"{made}"}}', media_type="application/json", headers=_NEVER)


def _many(found: Sequence[int], as_text: bool) -> Response:
    if as_text:
        return Response("\n".join(map(str, found)) + "\n", media_type=_PLAIN, headers=_NEVER)
    return Response('{"ids":["' + '","'.join(map(str, found)) + '"]}', media_type="application/json", headers=_NEVER)


def _without_body(request: Request) -> None:
    said = request.headers.get("content-length", "0")
    chunked = "transfer-encoding" in request.headers
    if chunked or not said.isdigit() or int(said) > BODY_MAX:  # guard: nobody fills memory with a body
        raise Refused("body", f"{'a body of unknown length' if chunked else said + ' bytes'} came along")


def _wants_text(request: Request) -> bool:
    """Whether plain text is named before JSON. Who names neither has JSON."""
    accept = request.headers.get("accept", "")
    at = accept.find("text/plain")
    return at >= 0 and not 0 <= accept.find("application/json") < at
