# SPDX-License-Identifier: Apache-2.0
"""What the service says when it gives no id: problem details, with advice.

Source: RFC 9457. ``type`` is the full path of a page of this service that says what to do (section 3.1.1 allows that);
a program tells problems apart by its last word, a person reads ``detail``.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

MEDIA_TYPE = "application/problem+json"
PATH = "/v1/problems/"


class Kind(msgspec.Struct, frozen=True):
    """One kind of problem. advice: what whoever asked can do."""

    name: str
    status: int
    title: str
    advice: str


#: By name.
KINDS: Mapping[str, Kind] = MappingProxyType({kind.name: kind for kind in (
    Kind("bad-request", 400, "The request cannot be understood", "Mend the request: /openapi.json says what is taken."),
    Kind("no-token", 401, "A bearer token is wanted", "Send the header Authorization: Bearer <token> with a token of "
         "this service."),
    Kind("not-found", 404, "There is nothing here", "See /openapi.json for what there is."),
    Kind("unknown-tag", 404, "There is no such tag", "Ask for one of those that GET /v1/tags lists, or start the "
         "service with it."),
    Kind("method", 405, "This method is not taken here", "Ids are made by POST: an answer to a GET may come from a "
         "cache, and an id that is answered twice is what must not be."),
    Kind("body", 413, "The request has a body that is too large", "Send none: what is asked for stands in the URL."),
    Kind("count", 422, "So many ids are not given at once", "Ask for at most max_count, several times if need be."),
    Kind("quota", 429, "The quota is used up", "Wait for as long as Retry-After says, and ask for fewer at once."),
    Kind("fault", 500, "Something is wrong with the service", "Its log says what. No id was given."),
    Kind("busy", 503, "Too many requests are at work", "Try another instance, or again after Retry-After."),
    Kind("no-ids", 503, "No id can be made now", "Try another instance, or again after Retry-After."),
    Kind("slow", 503, "No id was made in time", "Try another instance, or again after Retry-After."),
)})


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is answered. max_count: as many can be asked for at once. retry_after_s: sooner it is in vain."""

    type: str
    title: str
    status: int
    detail: str
    advice: str
    max_count: int | None = None
    retry_after_s: float | None = None


class Refused(Exception):
    """Raised where no id is given; becomes the answer."""

    def __init__(self, name: str, detail: str, *, max_count: int | None = None,
                 retry_after_s: float | None = None) -> None:
        kind = KINDS[name]
        self.name = name
        self.problem = Problem(PATH + name, kind.title, kind.status, detail, kind.advice, max_count, retry_after_s)
        super().__init__(detail)
