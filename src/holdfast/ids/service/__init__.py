# SPDX-License-Identifier: Apache-2.0
"""Ids over HTTP, for whoever is not in Python, or should not hold a worker id or a database of its own.

::

    desk = Desk({"orders": Tag(ids, kind="snowflake", quota=Quota(rate=10_000, burst=20_000))})
    app = create_app(desk)          # ASGI: any server runs it; serve() runs it with uvicorn

Inside::

    quota.py      how many ids somebody may have. Open this first
    desk.py       what the service does, without HTTP
    problem.py    what it says when it gives none
    access.py     who may ask
    claiming.py   a worker id that is asked for until it is had
    app.py        the desk over HTTP
    serving.py    listening, and stopping in good order

``holdfast id serve`` puts them together. Its clients are ``holdfast.ids.remote``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...errors import MissingExtra
from .access import Tokens, tokens_in
from .claiming import ClaimedIds
from .desk import Desk, Limits, Readiness, Tag
from .quota import Quota

__all__ = ["ClaimedIds", "Desk", "Limits", "Quota", "Readiness", "Tag", "Tokens", "create_app", "tokens_in"]


def create_app(desk: Desk, *, tokens: Tokens | None = None,
               metrics: Callable[[], tuple[str, str]] | None = None) -> Any:
    """The ASGI application of a desk.

    tokens: who may ask for ids; None: whoever reaches it. Probes and metrics ask for none. metrics: the media type and
    text of ``/metrics``. Raises MissingExtra without FastAPI.
    """
    try:
        from .app import build
    except ImportError as error:
        raise MissingExtra("serve", "the id service") from error
    return build(desk, tokens=tokens, metrics=metrics)
