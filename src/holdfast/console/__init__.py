# SPDX-License-Identifier: Apache-2.0
"""The console: streams, dead letters, locks and worker ids over HTTP, behind a gate.

::

    console = Console(open_server, open_desk, users=users_in(path))
    app = create_app(console)

Inside::

    roles.py, sessions.py, csrf.py, headers.py    who may do what, without HTTP. Open these first
    sign_in.py      passwords, and the brake on trying them
    gate.py         every request passes it; ``Needs`` stands at every route
    views/          what there is to see, as records      api/    the same as JSON, and acts
    console.py      what it looks at                      app.py  all of it
"""

from __future__ import annotations

from typing import Any

from ..errors import MissingExtra
from .console import Console
from .roles import Person, Role
from .settings import ConsoleSettings, check_bind
from .sign_in import User, user, users_in

__all__ = ["Console", "ConsoleSettings", "Person", "Role", "User", "check_bind", "create_app", "user", "users_in"]


def create_app(console: Console) -> Any:
    """The ASGI application. Raises MissingExtra without FastAPI."""
    try:
        from .app import build
    except ImportError as error:
        raise MissingExtra("console", "the console") from error
    return build(console)
