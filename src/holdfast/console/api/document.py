# SPDX-License-Identifier: Apache-2.0
"""``/api/openapi.json``: what FastAPI knows of parameters and bodies, and what it does not: answers, refusals, keys.

Answers are msgspec's records, whose schemas it gives itself. Refusals follow from what a route needs, and are put at
each operation from that; so a route cannot promise what its gate does not keep.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from ..gate import Needs, cookie_name
from ..problem import MEDIA_TYPE, TITLES, Problem
from ..settings import ConsoleSettings

_REF: Final = "#/components/schemas/{name}"
_SCHEMAS: Final[dict[str, Any]] = {}


def schema_of(kind: Any) -> dict[str, Any]:
    """The schema of a record, or of a list of them. What it names is in the document."""
    (schema,), found = msgspec.json.schema_components([kind], ref_template=_REF)
    # A record is written with all its fields.
    _SCHEMAS.update({name: {**one, "required": list(one["properties"])} if "properties" in one else one
                     for name, one in found.items()})
    return schema


def tells(kind: Any, *, status: int = 200, media_type: str = "application/json") -> dict[str, Any]:
    """For a route's decorator: what it answers. kind: a record, a list of one, or ``str``."""
    content = {media_type: {"schema": {"type": "string"} if kind is str else schema_of(kind)}}
    return {"status_code": status, "responses": {status: {"description": "What was asked for", "content": content}}}


def document(app: FastAPI, settings: ConsoleSettings) -> dict[str, Any]:
    """The whole of it."""
    problem = schema_of(Problem)
    found = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
    needs = {(method, route.path): _needs(route) for route in _routes(app.routes) for method in route.methods}
    for path, ways in found["paths"].items():
        for method, operation in ways.items():
            _describe(operation, method, needs[method.upper(), path], problem)
    schemas = found.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):  # FastAPI's own, which are not what is answered
        schemas.pop(name, None)
    schemas.update(sorted(_SCHEMAS.items()))
    found["components"]["securitySchemes"] = _keys(settings)
    return found


def _routes(given: Any) -> Any:
    for route in given:
        if hasattr(route, "dependant"):
            yield route
        else:  # a router that was included
            context = getattr(route, "effective_route_contexts", None)
            yield from context() if context else ()


def _needs(route: Any) -> list[Needs]:
    return [found.call for found in route.dependant.dependencies if isinstance(found.call, Needs)]


def _describe(operation: dict[str, Any], method: str, needs: list[Needs], problem: dict[str, Any]) -> None:
    protected = any(one.role for one in needs)
    told = {421} if operation.get("tags") != ["probes"] else set()
    if method != "get":
        told |= {403, 411, 413}
    if protected:
        told |= {401, 403, 503}
        role = next(one.role for one in reversed(needs) if one.role)
        operation["description"] = f"{operation.get('description', '')}\n\nTakes the role {role}.".strip()
        operation["security"] = [{"session": []}, {"token": []}, {"proxy": []}]
    else:
        operation["security"] = []
    if operation.get("parameters") or "requestBody" in operation:
        told |= {400, 422}
    if "{" in operation.get("operationId", "") or any(p["in"] == "path" for p in operation.get("parameters", ())):
        told |= {404}
    if any(one.changes for one in needs):
        told |= {404, 409}
    if operation.get("tags") == ["session"] and method == "post":
        told |= {401, 429}
    responses = operation["responses"]
    for status in sorted(told):
        responses[str(status)] = {"description": TITLES[status], "content": {MEDIA_TYPE: {"schema": problem}}}


def _keys(settings: ConsoleSettings) -> dict[str, Any]:
    return {
        "session": {"type": "apiKey", "in": "cookie", "name": cookie_name(secure=settings.secure),
                    "description": "From `POST /api/session`. A change takes the header `X-CSRF-Token` as well, with "
                                   "what `GET /api/session` tells as `csrf`."},
        "token": {"type": "http", "scheme": "bearer", "description": "A line of `--token-file`."},
        "proxy": {"type": "apiKey", "in": "header", "name": settings.proxy_header or "X-User",
                  "description": "From the reverse proxy of `--proxy-address` alone."},
    }
