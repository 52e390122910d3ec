# SPDX-License-Identifier: Apache-2.0
"""Whom to be linked with: which addresses are known, who is called, who is let in, who is not spoken to any more.

Decisions only: state, now and chance go in. ``book.py`` is what is known, ``choosing.py`` who of them is called,
``slots.py`` who gives way, ``standing.py`` how each behaved, ``rates.py`` how much each may say, ``liveness.py`` who
still answers. ``node`` carries them out.
"""

from __future__ import annotations

from .book import AddressBook, Bounds, Known, group_of
from .choosing import STRATEGIES, Wanted, choose
from .liveness import Liveness
from .rates import Rates
from .slots import Present, admit
from .standing import Acts, Standing

__all__ = [
    "STRATEGIES", "Acts", "AddressBook", "Bounds", "Known", "Liveness", "Present", "Rates", "Standing", "Wanted",
    "admit", "choose", "group_of",
]
