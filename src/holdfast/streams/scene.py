# SPDX-License-Identifier: Apache-2.0
"""What all sources of a process stand on: the server, the heart, who is told, time, chance, and who writes letters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .._base.chance import Chance
from .._base.clock import Clock
from .._base.events import Events
from .._redis.heart import Heart
from ..consume.letters import Letters

if TYPE_CHECKING:
    from .._redis.server import Server


@dataclass(frozen=True, slots=True)
class Scene:
    """Shared by the sources of one process. ``letters`` are the consumer's own: they carry its prefix."""

    server: Server
    heart: Heart
    events: Events
    clock: Clock
    chance: Chance
    letters: Letters
