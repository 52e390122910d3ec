# SPDX-License-Identifier: Apache-2.0
"""What the fault tests of locks share: kinds of lock, takers that say what they do, and the judge of what they said.

A taker says a line for each step, in this process or from another one over its stdout; ``operations`` makes of these
lines a history for ``check_linearizable``. All times are of the machine's clock that counts suspended time, which is
one for all processes.

A hold ends by its holder's release, or when its holder could no longer be certain of it: at its deadline, when it was
told, or when its process was killed, whichever came first. Nobody else may be let in before that.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from holdfast._base.clock import SystemClock
from holdfast._base.lock import HoldState
from holdfast.errors import HoldfastError
from holdfast.locks import Lock
from holdfast.testing import FencedMutex, Operation, ReadWriteLock, SearchTooLong, Semaphore, check_linearizable
from tests.support.queues import of

__all__ = ["ONE", "PERMITS", "Say", "judge", "model_of", "now", "of", "operations", "shrunk", "take", "wrong"]

#: Each kind of lock, as one of which there is one.
ONE = ("mutex", "fair", "write", "permit")
PERMITS = 2
now = SystemClock().now
Say = Callable[[dict[str, Any]], object]


async def take(lock: Lock, hold: str, say: Say, *, wait_s: float | None = 5.0, work_s: float = 0.0,
               **about: Any) -> bool:
    """Takes it once and says so. Whether it was granted."""
    said = {"hold": hold, "lock": lock.name, **about}
    say({**said, "step": "asks", "at": now()})
    try:
        held = await lock.acquire(wait_s=wait_s)
    except TimeoutError:
        say({**said, "step": "refused", "at": now()})
        return False
    except HoldfastError as error:  # it was given back, or tried to: whether it was there in between is not known
        say({**said, "step": "unknown", "error": str(error)})
        return False
    told: list[float] = []
    held.on_lost(lambda _: told.append(now()))
    say({**said, "step": "granted", "token": held.fencing_token, "at": now(), "until": held.deadline})
    end = now() + work_s
    while (left_s := end - now()) > 0 and held.state is not HoldState.LOST:
        await asyncio.sleep(min(left_s, 0.05))
        say({**said, "step": "holds", "until": held.deadline})
    began = now()
    say({**said, "step": "gives back", "at": began})  # whoever dies in the midst of it may have given it back
    kept = await lock.release(held)
    say({**said, "step": "released" if kept else "lost", "began": began, "at": now(),
         "until": min([held.deadline, *told])})
    return True


@dataclass
class Told:
    """What became of one hold, from its lines."""

    asked: dict[str, Any]
    lines: dict[str, dict[str, Any]] = field(default_factory=dict)

    def operations(self, client: str, killed_at: float | None, *, fenced: bool) -> Iterator[Operation]:
        side = f"{self.asked['side']}_" if "side" in self.asked else ""
        name, hold, steps = self.asked["lock"], self.asked["hold"], self.lines

        def done(call: str, result: object, began: float, at: float | None) -> Operation:
            return Operation(client, name, call, hold, result, began, at)

        acquire = f"{side}acquire"
        if "refused" in steps:
            yield done(acquire, False, self.asked["at"], steps["refused"]["at"])
        elif "granted" in steps:
            granted = steps["granted"]
            yield done(acquire, granted["token"] if fenced else True, self.asked["at"], granted["at"])
            yield self._end(done, side, killed_at)
            if "gives back" in steps and not steps.keys() & {"released", "lost"}:
                yield done(f"{side}release", True, steps["gives back"]["at"], None)
        else:
            yield done(acquire, True, self.asked["at"], None)
            yield done("expire", True, self.asked["at"], None)

    def _end(self, done: Callable[..., Operation], side: str, killed_at: float | None) -> Operation:
        if (released := self.lines.get("released")) is not None:
            return done(f"{side}release", True, released["began"], released["at"])
        if (lost := self.lines.get("lost")) is not None:
            return done("expire", True, lost["until"], None)
        until = self.lines.get("holds", self.lines["granted"])["until"]
        return done("expire", True, until if killed_at is None else min(until, killed_at), None)


def operations(lines: Iterable[dict[str, Any]], client: str, *, killed_at: float | None = None, fenced: bool = True,
               ) -> list[Operation]:
    """The history of one client. killed_at: when its process was, if it was. fenced: acquires answer with a token."""
    found: dict[str, Told] = {}
    for line in lines:
        if line["step"] == "asks":
            found[line["hold"]] = Told(line)
        else:
            found[line["hold"]].lines[line["step"]] = line
    return list(itertools.chain.from_iterable(
        told.operations(client, killed_at, fenced=fenced) for told in found.values()))


def model_of(kind: str) -> Any:
    """What histories of this kind are compared with."""
    match kind:
        case "rw":
            return ReadWriteLock()
        case "permits":
            return Semaphore(permits=PERMITS)
        case _:
            return FencedMutex()


def judge(history: Sequence[Operation], kind: str = "one") -> None:
    """Fails with the smallest part of a history that no such lock could have had."""
    found = check_linearizable(history, model_of(kind))
    assert found.ok, check_linearizable(shrunk(history, kind), model_of(kind)).explain()


def wrong(history: Sequence[Operation], kind: str = "one") -> bool:
    """Whether no such lock could have answered so."""
    try:
        return not check_linearizable(history, model_of(kind)).ok
    except SearchTooLong:
        return False


def shrunk(history: Sequence[Operation], kind: str = "one") -> list[Operation]:
    """A part of a wrong history that is still wrong, and right without any one of its holds."""
    left = list(history)
    size = max(1, len(left) // 2)
    while size:
        holds = list(dict.fromkeys((op.client, op.argument) for op in left))
        for at in range(0, len(holds), size):
            gone = set(holds[at:at + size])
            rest = [op for op in left if (op.client, op.argument) not in gone]
            if wrong(rest, kind):
                left = rest
        size //= 2
    return left
