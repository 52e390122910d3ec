# SPDX-License-Identifier: Apache-2.0
"""How many partitions is each process's share, and what does one do about it? Pure.

Members, in the order of their names, each get ``partitions // members``, and the first ``partitions % members`` one
more. A member above its share gives up what is too much; a member below takes what is free. So a change moves as few
partitions as it must, and two members never wait for each other.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Moves:
    """Partitions to try to take, and partitions to give up."""

    take: tuple[int, ...] = ()
    give_up: tuple[int, ...] = ()


def share_of(member: str, members: Sequence[str], partitions: int) -> int:
    """How many of ``partitions`` belong to ``member``; 0 when it is not among the members."""
    if member not in members:
        return 0
    place = sorted(members).index(member)
    return partitions // len(members) + (place < partitions % len(members))


def moves(member: str, members: Sequence[str], partitions: int, own: Collection[int], free: Sequence[int]) -> Moves:
    """What ``member``, which owns ``own``, does now. ``free`` have no living owner."""
    share = share_of(member, members, partitions)
    if len(own) < share:
        return Moves(take=tuple(free[: share - len(own)]))
    if len(own) > share and len(members) > 1:
        return Moves(give_up=tuple(sorted(own)[share:]))
    return Moves()
