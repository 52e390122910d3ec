# SPDX-License-Identifier: Apache-2.0
"""The desk: every dead letter that was taken in, what state it is in, and who did what to it.

::

    desk = await Desk("sqlite:///desk.db").open()
    for case in await desk.due(100):
        await desk.move(case, "manual", Actor("desk-1"), what="classified", category="unknown")

Inside::

    case.py     states and moves. Open this first
    tables.py   what is kept; desk.py: moves and their records, in one transaction; find.py: choosing and gathering
    kept.py     bodies and whose they are, and the clean-up; tells.py: what people are to be told
    carried.py  what goes back to another broker; arrived.py: what came from one
    shared.py   small values that instances share; rounds.py: what a service asks each round; log.py: searching
"""

from __future__ import annotations

from .case import ENDS, MOVES, SENT_BACK, Actor, Case, Deed, State, Step, may_move
from .desk import Desk
from .find import CaseGroup, Filter
from .kept import clean_up, keep, kept_of
from .tells import tell as _tell  # noqa: F401 - its table is made with the others

__all__ = [
    "ENDS", "MOVES", "SENT_BACK", "Actor", "Case", "CaseGroup", "Deed", "Desk", "Filter", "State", "Step", "clean_up",
    "keep", "kept_of", "may_move",
]
