# SPDX-License-Identifier: Apache-2.0
"""Members show each other signed views of who is there. With whom, what to fetch and what to tell is the guard's word;
here is only the carrying, as an agent does it: one member at random, and two of those that saw something else before.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ...core.effects import Changed, Effect
from ...defence import Guard
from ...defence.acts import CompareWith, Report
from ...defence.drawing import sample
from ...defence.views import Entry, Split, bucket_of, encode_entries
from ..world import name_of
from .scene import Scene

TICK_S = 1.0
#: Members whose view was another one that are looked at again besides one at random.
AGAIN = 2

#: Whose report, and what it says.
Told = Callable[[int, Split], None]


class Comparisons:
    """Of all honest members, from now on. told: of each split that one reports."""

    def __init__(self, scene: Scene, told: Told) -> None:
        self._scene, self._told = scene, told
        scene.watches.append(self._watch)
        for index in range(scene.honest):
            scene.at(scene.chance.random() * TICK_S, partial(self._tick, index))

    def _watch(self, now: float, index: int, effect: Effect) -> None:
        """A difference ends with whom it was with."""
        guard = self._scene.posts[index].guard
        if guard is not None and isinstance(effect, Changed) and effect.what in ("failed", "left"):
            guard.left(effect.member.node, now)

    def _live(self, index: int) -> list[tuple[str, int, float]]:
        core = self._scene.places[index].core
        return [] if core is None else [(one.node, one.incarnation, one.since)
                                        for one in core.members if not one.gone]

    def _tick(self, index: int) -> None:
        scene, guard = self._scene, self._scene.posts[index].guard
        scene.at(scene.now + TICK_S, partial(self._tick, index))
        if guard is None or index in scene.hostile or scene.places[index].core is None:
            return
        others = [name for name, _, _ in self._live(index) if name != name_of(index)]
        for act in guard.tick(others, scene.now, scene.chance):
            if isinstance(act, CompareWith):
                again = [name for name in guard.differing if name != act.peer]
                for name in (act.peer, *sample(again, AGAIN, scene.chance)):
                    self._compare(index, guard, int(name[5:]))

    def _compare(self, index: int, guard: Guard, peer: int) -> None:
        """One stream. A hostile peer shows and signs what it likes."""
        scene, asked = self._scene, self._scene.posts[peer].guard
        if asked is None or scene.places[peer].core is None:
            return
        live: list[Entry] = [(name, incarnation) for name, incarnation, _ in self._live(peer)]
        hostile = scene.hostile.get(peer)
        shown = live if hostile is None else hostile.sees(scene, index, live)
        view = asked.view(int(1000 * scene.now) + 1, shown)
        ours = self._live(index)
        fetch, _ = guard.viewed(name_of(peer), view, [(name, incarnation) for name, incarnation, _ in ours], scene.now)
        scene.sent_bytes += len(view)
        if fetch is None:
            return
        entries = encode_entries([entry for entry in shown if bucket_of(entry[0]) in fetch.buckets])
        scene.sent_bytes += len(entries)
        for act in guard.named(fetch, entries, ours, scene.now):
            if isinstance(act, Report):
                self._told(index, act.split)
