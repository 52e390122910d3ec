# SPDX-License-Identifier: Apache-2.0
"""Forms as browsers send them without a script, and the answer to one: a page to go to, never a page in place."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from ..console import Console
from ..flashes import Note
from ..problem import Refused
from ..roles import Person
from .render import say

#: Fields of one form.
FIELDS_MAX: Final = 2_000
_NUMBER: Final = re.compile(r"\d{1,9}(\.\d{1,4})?", re.ASCII)


class Form:
    """What was filled in."""

    def __init__(self, fields: dict[str, list[str]]) -> None:
        self._fields = fields

    def text(self, name: str, most: int = 255) -> str:
        """One field; empty when it is not there. Raises Refused for one that is too long, or holds a NUL."""
        found = self._fields.get(name, [""])[0]
        if len(found) > most or "\0" in found:
            raise Refused(422, f"{name}: at most {most} characters are taken, and none of them NUL")
        return found

    def several(self, name: str, most: int = 1_000) -> list[str]:
        """All fields called so."""
        found = self._fields.get(name, [])
        if len(found) > most or any(len(one) > 64 for one in found):
            raise Refused(422, f"{name}: at most {most} are taken")
        return found

    def all(self) -> dict[str, str]:
        """The first of each."""
        return {name: values[0] for name, values in self._fields.items()}

    def number(self, name: str) -> float | None:
        """A number that is not negative; None when none is there."""
        said = self.text(name, 15).strip()
        if said and not _NUMBER.fullmatch(said):
            raise Refused(422, f"{name}: a number is wanted")
        return float(said) if said else None

    def whole(self, name: str) -> int | None:
        """A number; None when none is there."""
        said = self.text(name, 15).strip()
        if said and not (said.isascii() and said.isdecimal()):
            raise Refused(422, f"{name}: a whole number is wanted")
        return int(said) if said else None


async def form_of(request: Request) -> Form:
    """Reads a form; the gate has bounded its length. Raises Refused for what is none."""
    kind = request.headers.get("content-type", "")
    if not kind.startswith("application/x-www-form-urlencoded"):
        raise Refused(422, "a form is wanted: application/x-www-form-urlencoded")
    try:
        text = (await request.body()).decode("ascii")
        return Form(parse_qs(text, keep_blank_values=True, errors="strict", max_num_fields=FIELDS_MAX))
    except ValueError:
        raise Refused(422, "the form is not sound") from None


def local(target: str, otherwise: str = "/") -> str:
    """``target`` when it is a path of ours, else ``otherwise``. Browsers take ``//host`` for another place, read
    backslashes as slashes, and drop tabs and line ends on the way."""
    ours = target.isprintable() and target.startswith("/") and not target.startswith("//") and "\\" not in target
    return target if ours else otherwise  # guard: no open redirect


def go(console: Console, person: Person, target: str, text: str = "", *, trouble: bool = False,
       undo: tuple[str, ...] = (), undo_until_ms: int = 0) -> Response:
    """Goes to a page, which says so."""
    response = RedirectResponse(target, 303)
    if text:
        say(console, response, person, Note(text=text, kind="trouble" if trouble else "done", undo=undo,
                                            undo_until_ms=undo_until_ms))
    return response
