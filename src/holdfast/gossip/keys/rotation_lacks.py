# SPDX-License-Identifier: Apache-2.0
"""What a member lacks in a phase of a rotation, and what may be asked for about it: the two rules that keep everybody
understood stand here."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from .rotation_record import Answer, Phase, Run, Step

#: It did not answer, or could not.
ANSWER: Final = "answer"
#: What is lacked, in the order in which it is mended.
_MENDED: Final[tuple[Step, ...]] = ("install-key", "use-key", "remove-key")


def lack(run: Run, answer: Answer | None) -> str:
    """What a member with this list of keys has yet to do; empty: nothing. None: it gave no list."""
    if answer is None or not answer.ok or not answer.keys:
        return ANSWER  # guard: silence. Who is not seen to hold a key does not hold it
    ids = [key.id for key in answer.keys]
    if run.phase is Phase.UNDO:
        return "remove-key" if run.new in ids else ""
    wanted = [("install-key", run.new not in ids), ("use-key", run.phase is not Phase.INSTALL and ids[0] != run.new),
              ("remove-key", run.phase is Phase.REMOVE and not {*run.old}.isdisjoint(ids))]
    return next((step for step, lacks in wanted if lacks), "")


def mend(run: Run, lacks: Collection[str]) -> Step | None:
    """What to ask everybody for; None: nothing now, but to list again."""
    step = next((one for one in _MENDED if one in lacks), None)
    if step == "use-key" and ANSWER in lacks:  # guard: use. Not before everybody is seen to hold it
        return None
    if step == "remove-key" and run.phase is Phase.REMOVE and ANSWER in lacks:
        return None  # guard: remove. Not before everybody is seen to use the new one
    return step


def to_remove(run: Run, seen: Iterable[Answer]) -> str:
    """Of the old keys one that somebody holds and nobody seals with; empty: there is none."""
    lists = [[key.id for key in answer.keys] for answer in seen if answer.keys]
    held, seals = {one for ids in lists for one in ids}, {ids[0] for ids in lists}
    return next((old for old in run.old if old in held and old not in seals), "")  # guard: primary keys


def left_behind(run: Run, failed: Iterable[str], held: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Failed members that would not be understood if they came back after this phase. held: ids that they were seen
    to hold, the primary one first."""
    if run.phase is Phase.INSTALL:
        return [node for node in failed if run.new not in held.get(node, ())]
    if run.phase is Phase.REMOVE:
        return [node for node in failed if held.get(node, ("",))[0] != run.new]
    return []
