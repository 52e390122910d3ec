# SPDX-License-Identifier: Apache-2.0
"""Requests that a foreign page makes a signed-in browser send: refused by their token, and by where they come from."""

from __future__ import annotations

import hmac
from urllib.parse import urlsplit

from .roles import Person

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
HEADER, FIELD = "x-csrf-token", "csrf"


def is_ours(person: Person, method: str, token: str) -> bool:
    """May a request with this token change something? Whoever comes by a token or a proxy's header has no cookie that
    a browser would add by itself; the proxy's has, and is held by ``same_origin``."""
    if method in SAFE or person.by != "session":
        return True
    return hmac.compare_digest(token.encode("utf-8", "replace"), person.csrf.encode())  # guard: no change without it


def same_origin(origin: str | None, host: str, site: str | None) -> bool:
    """Does an unsafe request come from a page of ours, or from no page at all? origin, site: the headers ``Origin`` and
    ``Sec-Fetch-Site``."""
    if site not in (None, "same-origin", "none"):
        return False
    return origin is None or urlsplit(origin).netloc.lower() == host.lower()  # guard: no other page's request
