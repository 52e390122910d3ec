# SPDX-License-Identifier: Apache-2.0
"""A store over HTTPS: one process has the keys, all others have tokens or certificates.

::

    desk = Desk(vault, policy, audit, Terms(folder / "term", key), tokens=tokens)
    run(create_app(desk), listen("0.0.0.0", 8200), Tls(certificate, key), close=vault.close)

    with ServerStore(["https://primary:8200", "https://standby:8200"], token="secret://app/token") as store:
        store.get("shop/db/password")

Inside::

    words.py      what server and client say to each other. Open this first
    desk.py       what the server does, without HTTP
    app.py        the desk over HTTP
    serving.py    TLS, listening, and stopping in good order
    client.py     ``ServerStore``; wire.py: which server is asked
    feed.py       a store as bytes that can be followed
    standby.py    whoever follows it
    terms.py      who is the primary
    gate.py       sealing and unsealing while it runs; opening.py: what is behind it
"""

from __future__ import annotations

from typing import Any

from ...errors import MissingExtra
from .client import ServerStore
from .desk import Desk
from .feed import Opener, Piece, Place, Sealed
from .serving import Tls, run, serve
from .standby import Follower, Replica, promote
from .terms import Role, Standing, Terms
from .wire import Wire
from .words import NotPrimary

__all__ = ["Desk", "Follower", "NotPrimary", "Opener", "Piece", "Place", "Replica", "Role", "Sealed", "ServerStore",
           "Standing", "Terms", "Tls", "Wire", "create_app", "promote", "run", "serve"]


def create_app(desk: Desk) -> Any:
    """The ASGI application of a desk. Raises MissingExtra without FastAPI."""
    try:
        from .app import build
    except ImportError as error:
        raise MissingExtra("serve", "the secret server") from error
    return build(desk)
