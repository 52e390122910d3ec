# SPDX-License-Identifier: Apache-2.0
"""Templates to pages. Whatever is put into one is escaped, and a name that is not given is an error, not a gap."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import jinja2
from starlette.requests import Request
from starlette.responses import Response

from ...deadletters.branch import broker_of, stream_of
from ...deadletters.desk import ENDS
from ..flashes import Note
from ..gate import LIVE
from ..roles import Person, may
from . import words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Scope

    from ..console import Console

TEMPLATES: Final = Path(__file__).parents[1] / "templates"
#: The navigation: where, and its words.
PLACES: Final = (("/", "Overview"), ("/letters", "Dead letters"), ("/queue", "Queue"), ("/jobs", "Jobs"),
                 ("/log", "Log"), ("/locks", "Locks"), ("/workers", "Worker ids"))


@functools.cache
def environment() -> jinja2.Environment:
    """The templates with what they may call."""
    made = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True,  # guard: shown as text
                              undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
                              auto_reload=False)
    made.filters.update(lasting=words.lasting, number=words.number, size=words.size, plain=words.plain,
                        short=words.short, stamp=words.stamp, told=words.told,
                        stream_of=stream_of, broker_of=broker_of)
    made.globals.update(when=words.when, ago=words.ago, counted=words.counted, places=PLACES, ends=ENDS)
    return made


def page(console: Console, scope: Scope, template: str, *, status: int = 200, headers: Mapping[str, str] | None = None,
         **context: Any) -> Response:
    """A page for whoever asked. What was left to say to them is said on it."""
    person: Person | None = scope.get("state", {}).get("person")
    note, cookie = _note(console, scope, person)
    text = environment().get_template(template).render(**_always(console, scope, person, note), **context)
    # Lone surrogates can be in what others wrote, and in no page.
    response = Response(text.encode("utf-8", "replace"), status, headers=dict(headers or {}),
                        media_type="text/html; charset=utf-8")
    if cookie:
        forget(console, response)
    return response


def _always(console: Console, scope: Scope, person: Person | None, note: Note | None) -> dict[str, Any]:
    acting = console.settings.allow_changes
    return {
        "person": person, "path": scope["path"], "now_ms": console.clock.wall_ms(), "note": note,
        "read_only": not acting, "csrf": person.csrf if person is not None else "",
        "may_act": acting and person is not None and may(person.role, "operator"),  # guard: not offered
        "may_approve": acting and person is not None and may(person.role, "approver"),
    }


# -- what is said once --------------------------------------------------------------------------------------------


def _name(*, secure: bool) -> str:
    return "__Host-holdfast-note" if secure else "holdfast-note"


def _note(console: Console, scope: Scope, person: Person | None) -> tuple[Note | None, bool]:
    request = Request(scope)
    token = request.cookies.get(_name(secure=console.settings.secure), "")
    if not token or person is None or LIVE in request.headers:  # what is said once is not for the script
        return None, False
    return console.flashes.taken(token, person.name), True


def say(console: Console, response: Response, person: Person, note: Note) -> None:
    """Leaves it for the next page."""
    secure = console.settings.secure
    response.set_cookie(_name(secure=secure), console.flashes.leave(person.name, note), path="/", max_age=120,
                        httponly=True, samesite="strict", secure=secure)


def forget(console: Console, response: Response) -> None:
    """It was said."""
    secure = console.settings.secure
    response.delete_cookie(_name(secure=secure), path="/", httponly=True, samesite="strict", secure=secure)
