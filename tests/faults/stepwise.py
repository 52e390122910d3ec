# SPDX-License-Identifier: Apache-2.0
"""A siege at a broker where settling takes several steps: nothing lost, nothing applied twice, and copies counted.

What a kill between two steps leaves is a letter that lies there twice, or a message that is dead *and* done. Both are
told apart by their ids, and there are no more of them than such kills can have made.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.faults.siege import Siege
from tests.faults.test_crash_matrix import covered, written

#: Messages that run in one worker at once.
AT_ONCE = 8
#: Seconds in which something gets done by workers that nobody hurts.
STALL_S = 60.0


@dataclass(frozen=True)
class Copies:
    """What a siege left in two places. twice: letters, by their message's id; both: messages that are dead and done."""

    kills: Counter[str]
    messages: int
    letters: int
    twice: Counter[str]
    both: frozenset[str]


def besieged(crew: Any, rng: random.Random, plan: Sequence[str], *, team: int) -> Copies:
    """Kills by the plan, lets the rest be worked off, and judges all but copies: those are answered."""
    with crew:
        siege = Siege(crew, rng, team=team)
        siege.run(plan)
        siege.finish(STALL_S, min(team, 2))
        for worker in crew.workers:
            worker.close()
        print(siege.report())
        verdict, letters = siege.verdict(), crew.letters()
        assert replace(verdict, in_two_places=()).ok, verdict.explain()
        assert not crew.left()
        dead = {letter[b"x-dlq-original-message-id"].decode() for letter in letters}
        twice = Counter({message_id: n for message_id, n in crew.copies().items() if n > 1})
        covered(siege, plan)
        return Copies(siege.kills, len(siege.published), len(letters), twice,
                      frozenset({siege.published[n] for n in crew.applied()} & dead))


def bounded(found: Sequence[Copies], between: Sequence[str], name: str) -> None:
    """There are no more copies than kills ``between`` two steps, and messages in their workers; forty kills in all."""
    kills = sum((one.kills for one in found), Counter())
    both = sorted(message_id for one in found for message_id in one.both)
    twice = {message_id: n for one in found for message_id, n in one.twice.items()}
    written(Path("build") / f"crash-matrix-{name}.json", {
        "kills": dict(kills), "messages": sum(one.messages for one in found),
        "letters": sum(one.letters for one in found), "letters lying twice": twice, "dead and done": both})
    print(f"{sum(one.letters for one in found)} letters, {len(twice)} lie there twice, {len(both)} dead and done")
    most = sum(kills[step] for step in between) * AT_ONCE
    assert len(both) <= most
    assert sum(twice.values()) <= most
    assert sum(kills.values()) >= 40
