# SPDX-License-Identifier: Apache-2.0
"""What a consumer is given from outside; shared by all consumers of a process where it can be."""

from __future__ import annotations

from dataclasses import dataclass

from .._base.chance import Chance
from .._base.clock import Clock
from .._base.events import Events
from .gate import Gate
from .letters import Letters


@dataclass(slots=True)
class Parts:
    """``stale_s``: work that has waited longer than this without being started is handed back."""

    gate: Gate
    letters: Letters
    events: Events
    clock: Clock
    chance: Chance
    stale_s: float = 10.0
