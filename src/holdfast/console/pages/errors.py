# SPDX-License-Identifier: Apache-2.0
"""What is answered in place of what was asked for: to a program a problem, to a person a page that says what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.responses import RedirectResponse, Response

from ..problem import TITLES, Refused, answer
from .render import page

if TYPE_CHECKING:
    from starlette.types import Scope

    from ..console import Console

_ADVICE: Final = {
    403: "Ask somebody who has the role, or who runs the console.",
    404: "It may have been dealt with and cleaned up meanwhile, or the address is mistyped.",
    409: "Go back, load the page again, and look at how it stands now.",
    413: "Send less at once.",
    421: "Open the console by the name that it was started with.",
    422: "Go back and mend what you sent.",
    429: "Wait for as long as it says, then try once more.",
    500: "Who runs the console finds more in its log.",
    503: "Other pages may work meanwhile. This one is back when what it needs is back: load it again.",
}


def wants_page(scope: Scope) -> bool:
    """Does a person look, with a browser?"""
    path = scope["path"]
    return not path.startswith(("/api/", "/static/")) and "text/html" in Headers(scope=scope).get("accept", "")


def refuse(console: Console, scope: Scope, refused: Refused) -> Response:
    """The answer."""
    if not wants_page(scope):
        return answer(refused)
    if refused.status == 401:
        return _to_sign_in(console, scope)
    headers = {"Retry-After": str(-int(-refused.retry_s // 1))} if refused.retry_s else {}
    return page(console, scope, "refused.html", status=refused.status, headers=headers,
                title=TITLES.get(refused.status, "This was not done"), said=str(refused),
                advice=_ADVICE.get(refused.status, "Go back, and try something else."), status_code=refused.status)


def _to_sign_in(console: Console, scope: Scope) -> Response:
    if scope["method"] not in ("GET", "HEAD"):
        return RedirectResponse("/sign-in", 303)
    query = scope.get("query_string", b"").decode("latin-1")
    here = quote(scope["path"]) + (f"?{query}" if query else "")
    if Headers(scope=scope).get("sec-fetch-site") == "cross-site":
        # Browsers withhold a strict cookie from whoever follows a link from elsewhere: a step of our own brings it.
        return page(console, scope, "onwards.html", here=here)
    return RedirectResponse("/sign-in" if here == "/" else f"/sign-in?next={quote(here, safe='/')}", 303)
