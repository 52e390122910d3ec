# SPDX-License-Identifier: Apache-2.0
"""The console over HTTP: the gate, the API, and the screens where they are there.

Needs the extra ``console``; ``holdfast.console.create_app`` says so where it is missing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from .. import __version__
from ..errors import HoldfastError
from . import api, pages
from .console import Console
from .gate import STATIC, Gate, Needs
from .problem import Refused, refused_of


def build(console: Console) -> FastAPI:
    """See ``holdfast.console.create_app``."""
    app = FastAPI(title="Holdfast console", version=__version__, docs_url=None, redoc_url=None,
                  openapi_url=None, redirect_slashes=False, summary="Streams, dead letters, locks and worker ids.")
    app.state.console = console
    _refusals(app)
    _open(app)
    for router in (*api.routers, *pages.routers):
        app.include_router(router)
    app.openapi = lambda: api.document(app, console.settings)  # type: ignore[method-assign]
    app.mount(STATIC.rstrip("/"), StaticFiles(directory=Path(__file__).parent / "static"))
    app.add_middleware(Gate, console=console, refuse=pages.refuse)
    return app


def _open(app: FastAPI) -> None:
    @app.get("/healthz", tags=["probes"], dependencies=[Depends(Needs(None))], response_class=Response,
             **api.tells(str, media_type="text/plain"))
    async def healthz() -> Response:
        """200 as long as the process turns."""
        return Response("ok\n", media_type="text/plain; charset=utf-8")

    @app.get("/api/openapi.json", include_in_schema=False, dependencies=[Depends(Needs(None))])
    async def schema() -> dict[str, Any]:
        return app.openapi()


def _refusals(app: FastAPI) -> None:
    console: Console = app.state.console

    async def refused(request: Request, error: Exception) -> Response:
        return pages.refuse(console, request.scope, refused_of(error))

    async def invalid(request: Request, error: Exception) -> Response:
        found = error.errors() if isinstance(error, RequestValidationError) else ()
        return pages.refuse(console, request.scope, Refused(422, "; ".join(_place(one) for one in found)[:1_000]))

    async def elsewhere(request: Request, error: Exception) -> Response:
        status, said = getattr(error, "status_code", 500), str(getattr(error, "detail", ""))
        return pages.refuse(console, request.scope, Refused(status, said))

    app.add_exception_handler(Refused, refused)
    app.add_exception_handler(HoldfastError, refused)
    app.add_exception_handler(TimeoutError, refused)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, elsewhere)


def _place(error: Any) -> str:
    """Where something is wrong, and what. What was sent stays out of it, names included: it may be a payload."""
    kind, place = error["type"], error["loc"]
    known = place[:-1] if kind == "extra_forbidden" else place  # guard: no more than the document says
    return f"{'.'.join(map(str, known))}: {kind}"
