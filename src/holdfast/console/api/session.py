# SPDX-License-Identifier: Apache-2.0
"""Signing in and out, and who one is."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request
from pydantic import Field
from starlette.responses import Response

from .. import entering
from ..gate import Needs
from ..roles import Person
from .common import Told, console_of, person_of, said
from .document import tells

router = APIRouter(prefix="/api/session", tags=["session"])


class SignIn(Told):
    """Who, and their password."""

    name: str = Field(max_length=64)
    password: str = Field(max_length=1_024, json_schema_extra={"format": "password"})


@router.post("", dependencies=[Depends(Needs(None))], status_code=204)
async def sign_in(request: Request, who: SignIn) -> Response:
    """Signs in: a new session, in a cookie."""
    console = console_of(request)
    user = await entering.known(console, request, who.name, who.password)
    response = Response(status_code=204)
    entering.begin(console, request, response, user)
    return response


@router.get("", dependencies=[Depends(Needs("viewer"))], **tells(Person))
async def who(request: Request) -> Response:
    """Who you are, your role, and the token that changes take."""
    return said(person_of(request))


@router.delete("", dependencies=[Depends(Needs("viewer"))], status_code=204)
async def sign_out(request: Request) -> Response:
    """Signs out."""
    response = Response(status_code=204)
    entering.end(console_of(request), request, response)
    return response
