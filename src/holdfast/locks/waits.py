# SPDX-License-Identifier: Apache-2.0
"""Who waits for whom: locks with a queue as a graph of owners, and the circles in it out of which nobody comes.

A circle is not enough. With a semaphore it does not matter which holder gives back, so that somebody outside the circle
may break it. So those who are stuck are found first, by letting everybody else finish: whoever waits for nothing gives
back what it holds, the queues hand over as the server does, and so on until nothing moves (Holt 1972: the graph is
reduced). What is left never moves by itself, whatever the order: a release takes nothing from anybody. Among those,
each waits for one of them, so there is a circle, and the shortest ones are what a person has to look at.

What this cannot know: a wait that has an end, a lease that nobody renews, a person. Each of them ends the circle.

Pure: it is given queues as they were seen, and says what it finds.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice


@dataclass(frozen=True)
class Part:
    """One acquisition that holds, or waits for, ``units`` of a lock. owner: the task or thread whose it is."""

    owner: str
    acquisition: str
    units: int = 1


@dataclass(frozen=True)
class Queue:
    """One lock: its ``capacity`` of units, who holds some, and who waits, the first in line first."""

    lock: str
    capacity: int
    holders: tuple[Part, ...]
    waiters: tuple[Part, ...]

    def fits(self, part: Part) -> bool:
        """Whether so many units are free."""
        return sum(held.units for held in self.holders) + min(part.units, self.capacity) <= self.capacity


@dataclass(frozen=True)
class Wait:
    """``waiter`` waits for ``lock`` until ``blocker`` gives it back, or, being ahead of it in line, has had it."""

    lock: str
    waiter: Part
    blocker: Part
    ahead: bool = False


Circle = tuple[Wait, ...]


def stuck(queues: Iterable[Queue]) -> list[Queue]:
    """What is left of ``queues`` when all who can have finished; none where nobody is stuck."""
    left = list(queues)
    while True:
        waiting = {part.owner for queue in left for part in queue.waiters}
        moved = [_handed_over(_given_back(queue, waiting)) for queue in left]
        if moved == left:
            return [queue for queue in left if queue.waiters]
        left = moved


def _given_back(queue: Queue, waiting: set[str]) -> Queue:
    return replace(queue, holders=tuple(part for part in queue.holders if part.owner in waiting))


def _handed_over(queue: Queue) -> Queue:
    """To those first in line who fit, as ``queue.lua`` does: nobody passes."""
    while queue.waiters and queue.fits(queue.waiters[0]):
        first, *others = queue.waiters
        queue = replace(queue, holders=(*queue.holders, first), waiters=tuple(others))
    return queue


def waits(queues: Iterable[Queue]) -> Iterator[Wait]:
    """The graph: each waiter with those who hold what it needs, and the next one ahead of it in line, who waits for
    those before it. Who would fit waits for the line alone."""
    for queue in queues:
        for place, waiter in enumerate(queue.waiters):
            if not queue.fits(waiter):
                yield from (Wait(queue.lock, waiter, held) for held in queue.holders)
            others = (ahead for ahead in reversed(queue.waiters[:place]) if ahead.owner != waiter.owner)
            yield from (Wait(queue.lock, waiter, ahead, ahead=True) for ahead in islice(others, 1))


def circles(queues: Iterable[Queue]) -> list[Circle]:
    """The shortest first, and none that shares an owner with one before it: that may be gone when the first is."""
    by: dict[str, list[Wait]] = {}
    for wait in waits(stuck(queues)):
        by.setdefault(wait.waiter.owner, []).append(wait)
    for steps in by.values():
        steps.sort(key=lambda wait: (wait.ahead, wait.lock, wait.blocker.acquisition))
    every = sorted((circle for start in sorted(_waited_for(by)) if (circle := _shortest(start, by))), key=len)
    found: list[Circle] = []
    known: set[str] = set()
    for circle in every:
        owners = {wait.waiter.owner for wait in circle}
        if not known & owners:
            found.append(circle)
            known |= owners
    return found


def _waited_for(by: Mapping[str, Sequence[Wait]]) -> set[str]:
    """Owners but those for whom nobody waits, who are in no circle; and so on. A long line has many of them."""
    counts = Counter(wait.blocker.owner for steps in by.values() for wait in steps)
    left = set(by)
    to_do = [owner for owner in by if not counts[owner]]
    while to_do:
        nobodys = to_do.pop()
        left.discard(nobodys)
        for wait in by[nobodys]:
            counts[wait.blocker.owner] -= 1
            if not counts[wait.blocker.owner] and wait.blocker.owner in left:
                to_do.append(wait.blocker.owner)
    return left


def _shortest(start: str, by: Mapping[str, Sequence[Wait]]) -> Circle:
    """From ``start`` back to it by the fewest steps; empty when there is no way."""
    came: dict[str, Circle] = {start: ()}
    to_do = deque([start])
    while to_do:
        at = to_do.popleft()
        for wait in by.get(at, ()):
            onward = wait.blocker.owner
            if onward == start:
                return (*came[at], wait)
            if onward not in came:
                came[onward] = (*came[at], wait)
                to_do.append(onward)
    return ()


def in_both(first: Iterable[Queue], second: Iterable[Queue]) -> list[Queue]:
    """What was so at two looks, and hence all the time in between: a look at many locks is not one moment.

    An acquisition holds or waits once, so one that is found twice in the same role has not left it. Whoever is left out
    holds up nobody: this may miss a circle that is just closing, and shows none that never was.
    """
    before = {queue.lock: queue for queue in first}
    return [replace(now, holders=_common(before[now.lock].holders, now.holders),
                    waiters=_common(before[now.lock].waiters, now.waiters))
            for now in second if now.lock in before]


def _common(first: tuple[Part, ...], second: tuple[Part, ...]) -> tuple[Part, ...]:
    known = {part.acquisition for part in first}
    return tuple(part for part in second if part.acquisition in known)
