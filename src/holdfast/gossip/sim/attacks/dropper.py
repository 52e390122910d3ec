# SPDX-License-Identifier: Apache-2.0
"""Members that take and pass nothing on. They answer pings, so that nobody takes them for dead.

Ten letters are said by honest members. Gossip alone stands much of it, for each member tells many; what the defences
add is seen where nearly everybody drops.
"""

from __future__ import annotations

import msgspec

from ...._base.chance import Chance
from ...core.effects import Packet
from ...messages import Ack, Alive, Dead, IndirectPing, Nack, Ping, Suspect
from .audits import Audits
from .defences import Defences
from .outcome import Outcome, outcome
from .plays import chosen, speak
from .scene import Hostile, Scene

LETTERS, EVERY_S, WAIT_S = 10, 0.5, 60.0
_ANSWERS = (Ping, IndirectPing, Ack, Nack)


class Dropper(Hostile):
    """Sends nothing but what shows that it is there; news: and what it says of members."""

    def __init__(self, *, news: bool = False) -> None:
        self._kept = (*_ANSWERS, Alive, Suspect, Dead) if news else _ANSWERS

    def sends(self, scene: Scene, index: int, packet: Packet) -> Packet | None:
        kept = tuple(message for message in packet.messages if isinstance(message, self._kept))
        return msgspec.structs.replace(packet, messages=kept) if kept else None

    def letter(self, scene: Scene, index: int, letter: bytes) -> bytes | None:
        return None


def run(defences: Defences, members: int, chance: Chance, *, part: float) -> Outcome:
    """part: of the members."""
    scene = Scene(members, chance, defences=defences)
    scene.hostile.update(dict.fromkeys(chosen(scene, part), Dropper()))
    Audits(scene)
    scene.run(speak(scene, LETTERS, EVERY_S) + WAIT_S)
    return outcome(scene)
