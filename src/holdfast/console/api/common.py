# SPDX-License-Identifier: Apache-2.0
"""What the routes have in common: parameters with their bounds, who asks, which letters, and records as JSON."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.responses import Response

from ...deadletters.desk import Filter, State
from ..console import Console
from ..roles import Person

#: Neither in a path nor in a database is there room for control characters.
PLAIN = r"^[^\x00-\x1f\x7f]*$"
Name = Annotated[str, Field(max_length=255, pattern=PLAIN)]
Id = Annotated[str, Field(min_length=1, max_length=64, pattern=PLAIN)]
Why = Annotated[str, Field(max_length=1_000, pattern=PLAIN, description="for the record")]
LetterId = Annotated[str, Path(min_length=1, max_length=64, pattern=PLAIN)]
JobId = Annotated[str, Path(min_length=1, max_length=64, pattern=r"^[0-9A-Za-z]+$")]
Text = Annotated[str | None, Query(max_length=255, pattern=PLAIN)]
Limit = Annotated[int, Query(ge=1, le=1_000, description="at most so many")]
#: No database holds larger ones, and no clock tells them.
Ms = Annotated[int | None, Query(ge=0, lt=1 << 53, description="ms since 1970")]  # guard: numbers that fit
Version = Annotated[int | None, Query(ge=1, lt=1 << 53, description="of the case when you looked: 409 if it has moved "
                                                                    "since")]


class Told(BaseModel):
    """What is sent. A field that is not known is refused, so that a slip of the pen is not an answer to something
    else."""

    model_config = ConfigDict(extra="forbid")


class Wanted(Told):
    """Which letters: all that is given must hold."""

    stream: Name | None = None
    group: Name | None = None
    state: list[State] | None = Field(default=None, max_length=10, description="in one of these states")
    open: bool | None = Field(default=None, description="not dealt with yet")
    reason: Name | None = None
    error_type: Name | None = None
    fingerprint: Name | None = None
    category: Name | None = None
    severity: Name | None = None
    rule: Name | None = None
    key: Name | None = None
    message_id: Name | None = None
    assignee: Name | None = Field(default=None, description="empty: nobody's")
    fresh: bool | None = Field(default=None, description="the first of its fingerprint")
    since_ms: int | None = Field(default=None, ge=0, lt=1 << 53, description="buried since, in ms since 1970")
    until_ms: int | None = Field(default=None, ge=0, lt=1 << 53)
    text: Name | None = Field(default=None, description="a part of the error's words, or an id in full")

    def filter(self) -> Filter:
        """As the desk takes it."""
        told = {name: getattr(self, name) for name in Wanted.model_fields if name not in ("stream", "state")}
        return Filter(logical=self.stream, states=tuple(self.state) if self.state else None, **told)


class Which(Told):
    """Letters by id, or by filter."""

    ids: list[Id] | None = Field(default=None, min_length=1, max_length=1_000)
    filter: Wanted | None = None

    @model_validator(mode="after")
    def _one(self) -> Which:
        if (self.ids is None) is (self.filter is None):
            raise ValueError("ids or filter")
        return self

    def letters(self) -> list[str] | Filter:
        """As acts take them."""
        return (self.ids or []) if self.filter is None else self.filter.filter()


def console_of(request: Request) -> Console:
    """The console that answers."""
    console: Console = request.app.state.console
    return console


def person_of(request: Request) -> Person:
    """Who asks; routes with a role have somebody."""
    person: Person = request.state.person
    return person


def said(record: Any, status: int = 200) -> Response:
    """A record as JSON."""
    return Response(msgspec.json.encode(record), status, media_type="application/json")
