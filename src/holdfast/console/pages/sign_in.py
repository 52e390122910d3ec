# SPDX-License-Identifier: Apache-2.0
"""Signing in and out, by a form."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request
from starlette.responses import RedirectResponse, Response

from .. import entering
from ..api.common import console_of
from ..gate import Needs
from ..problem import Refused
from .forms import form_of, local
from .render import page

router = APIRouter(include_in_schema=False)


@router.get("/sign-in", dependencies=[Depends(Needs(None))])
async def sign_in_page(request: Request, next: str = "/") -> Response:
    """The form; for whoever is signed in already, the way on."""
    if request.state.person is not None:
        return RedirectResponse(local(next), 303)
    return _form(request, local(next))


@router.post("/sign-in", dependencies=[Depends(Needs(None))])
async def sign_in(request: Request) -> Response:
    """Signs in and goes on to where one wanted."""
    form = await form_of(request)
    console, target = console_of(request), local(form.text("next", 8_192))
    name = form.text("name", 64)
    try:
        user = await entering.known(console, request, name, form.text("password", 1_024))
    except Refused as refused:
        return _form(request, target, name=name, trouble=str(refused), status=refused.status, wait_s=refused.retry_s)
    response = RedirectResponse(target, 303)
    entering.begin(console, request, response, user)
    return response


def _form(request: Request, target: str, *, name: str = "", trouble: str = "", status: int = 200,
          wait_s: float = 0.0) -> Response:
    return page(console_of(request), request.scope, "sign_in.html", status=status, target=target, name=name,
                trouble=trouble, wait_s=wait_s,
                headers={"Retry-After": str(-int(-wait_s // 1))} if wait_s else {})


@router.post("/sign-out", dependencies=[Depends(Needs("viewer"))])
async def sign_out(request: Request) -> Response:
    """Ends the session."""
    response = RedirectResponse("/sign-in", 303)
    entering.end(console_of(request), request, response)
    return response
