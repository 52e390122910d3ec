# SPDX-License-Identifier: Apache-2.0
"""Two ways to be heard where others are silent: own letters go to many members directly, and members compare what they
have. Whom to tell and whom to ask, and what to fetch, is the guard's word; here is only the carrying.
"""

from __future__ import annotations

from functools import partial

from ...defence.acts import AuditWith
from ...defence.coverage import ID
from ...messages import User
from ..world import name_of
from .post import id_of
from .scene import Scene

#: How many core's gossip tells in one turn.
FANOUT = 3
TICK_S = 1.0


class Audits:
    """Of all honest members, from now on."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._names = [name_of(index) for index in range(scene.honest)]
        self._kept: dict[int, dict[bytes, bytes]] = {}
        scene.told.append(self.told)
        for index in range(scene.honest):
            scene.at(scene.chance.random() * TICK_S, partial(self._tick, index))

    def told(self, index: int, letter: bytes, peer: str) -> None:
        """A member has this letter, by that peer; or by itself, where that is empty."""
        self._kept.setdefault(index, {})[id_of(letter)] = letter
        guard = self._scene.posts[index].guard
        if not peer and guard is not None and guard.defences.flood:
            for name in guard.targets(id_of(letter), self._others(index), FANOUT, self._scene.now, self._scene.chance,
                                      own=True):
                self._scene.transmit(index, int(name[5:]), [User(letter)])

    def _others(self, index: int) -> list[str]:
        return [name for name in self._names if name != self._names[index]]

    def _tick(self, index: int) -> None:
        scene, guard = self._scene, self._scene.posts[index].guard
        scene.at(scene.now + TICK_S, partial(self._tick, index))
        if guard is None or index in scene.hostile:
            return
        for act in guard.tick(self._others(index), scene.now, scene.chance):
            if isinstance(act, AuditWith):
                self._audit(index, int(act.peer[5:]))

    def _audit(self, index: int, peer: int) -> None:
        """A peer that drops shows nothing, and is asked for nothing."""
        scene, asking, asked = self._scene, self._scene.posts[index].guard, self._scene.posts[peer].guard
        if asking is None or asked is None or peer in scene.hostile:
            return
        digest = asked.digest(scene.now)
        scene.sent_bytes += ID * len(digest)
        compared, _ = asking.audited(name_of(peer), digest, scene.now)
        scene.sent_bytes += ID * len(compared.pull)
        letters = [self._kept[peer][each] for each in compared.pull]
        for letter in letters:
            scene.transmit(peer, index, [User(letter)])
