# SPDX-License-Identifier: Apache-2.0
"""The screens: pages made on the server, each of which works without a script. One file a family of screens.

``render`` fills templates in, ``forms`` reads forms, ``errors`` is what one gets instead; ``words`` and ``wanted`` are
pure.
"""

from __future__ import annotations

from . import edit, jobs, letter, letters, sign_in, standing
from .errors import refuse

#: ``letters`` before ``letter``: its paths are words where the other has an id.
routers = (sign_in.router, standing.router, letters.router, edit.router, letter.router, jobs.router)

__all__ = ["refuse", "routers"]
