# SPDX-License-Identifier: Apache-2.0
"""The console as JSON, under ``/api``, over ``views`` and ``acts``.

``look``, ``live``: questions. ``act``, ``jobs``: changes. ``session``: signing in. ``document``: what it says it is.
"""

from __future__ import annotations

from . import act, jobs, live, look, session
from .document import document, tells

routers = (session.router, look.router, live.router, act.one, act.many, act.gone, jobs.router, jobs.agreeing)

__all__ = ["document", "routers", "tells"]
