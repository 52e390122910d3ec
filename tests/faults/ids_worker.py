# SPDX-License-Identifier: Apache-2.0
"""A process that holds worker ids and makes ids, for tests that hurt it. It says each window before it uses it.

What it makes lies in a folder: a file for each thread of each hold, of 64-bit numbers; what was written stays when the
process is killed. ``draw``: claims, makes ids until it is refused or told to end (SIGTERM), claims again. ``pause``:
stops itself with ids lying ready, and uses them up when it is woken. ``fork``: children of a process that has a hold.
"""

from __future__ import annotations

import functools
import itertools
import json
import os
import signal
import sys
import threading
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import msgspec

from holdfast._base.clock import Instant, SystemClock, WallMs
from holdfast.errors import HoldfastError, IdError, IdsRefused, LeaseLost, ServerError
from holdfast.ids import Generator, Pace, WorkerId, layout_called
from holdfast.ids.sweeper import SWEEPER
from tests.faults.ids_history import Recorded
from tests.faults.ids_stores import Store, scheme_of

LAYOUT = layout_called("snowflake")


class Task(msgspec.Struct):
    """What to do. members: holds at one time, each with so many threads. chunk, rest_s: a thread makes so many ids,
    then rests. ordinals: the worker ids that are wanted, one a member; empty: any. most: ids of one thread of one hold.
    life_s: a member gives its hold back after so long, and claims again.

    steps: what is added to this process's clock, and when: (seconds since the beginning, seconds). rate: how fast it
    goes. faked: libfaketime sets it, which does not know how to sleep until a moment, as ``time.sleep`` does. children:
    of ``fork``; again: whether they may claim a worker id of their own.
    """

    how: str
    store: Store
    folder: str
    name: str
    window_s: float = 0.6
    members: int = 1
    threads: int = 1
    chunk: int = 20_000
    rest_s: float = 0.0
    most: int = 1 << 60
    ordinals: tuple[int, ...] = ()
    life_s: float = 1e9
    steps: tuple[tuple[float, float], ...] = ()
    rate: float = 1.0
    children: int = 0
    again: bool = True
    faked: bool = False
    back_ms: int = 5_000
    lag_ms: int = 60_000


def say(line: dict[str, Any]) -> None:
    os.write(1, json.dumps(line).encode() + b"\n")


class SteppedClock:
    """The machine's clock, wrong in a way that was told beforehand."""

    def __init__(self, steps: tuple[tuple[float, float], ...], rate: float) -> None:
        self._steps, self._rate, self._true = steps, rate, SystemClock()
        self._began = self._true.now()
        self._taken = 0

    def now(self) -> Instant:
        passed = self._true.now() - self._began
        by = [by for at, by in self._steps if passed >= at]
        if len(by) > self._taken:
            self._taken = len(by)
            say({"step": len(by)})
        return Instant(self._began + passed * self._rate + sum(by))

    def wall_ms(self) -> WallMs:
        return self._true.wall_ms()


class Member:
    """Holds one worker id after another."""

    def __init__(self, task: Task, number: int, stop: threading.Event) -> None:
        self.task, self.stop = task, stop
        self.name, self.by = f"{task.name}-{number}", called(number)
        self.wanted = task.ordinals[number] if task.ordinals else None

    def run(self) -> None:
        while not self.stop.is_set():
            hold = self.claimed()
            if hold is not None:
                try:
                    self.use(hold, time.monotonic() + self.task.life_s)
                finally:
                    hold.close()

    def claimed(self) -> WorkerId | None:
        """A hold, asked for until it is had."""
        asked_at, refused = time.monotonic(), ""
        while not self.stop.is_set():
            hold = made_hold(self.task, self.name, self.by, self.wanted)
            try:
                hold.open()
            except (HoldfastError, TimeoutError) as error:
                if refused != type(error).__name__:
                    refused = type(error).__name__
                    say({"refused": refused, "by": self.by})
                self.stop.wait(0.02)
            else:
                say({"ready": hold.owner.id, "by": self.by, "after_s": time.monotonic() - asked_at, "refused": refused})
                return hold
        return None

    def use(self, hold: WorkerId, until: float) -> None:
        """Makes ids in several threads, until the end of it or of the task."""
        ids = made_generator(self.task, hold)
        making = [threading.Thread(target=self.make, args=(hold, ids.bound, until, thread))
                  for thread in range(self.task.threads)]
        for thread in making:
            thread.start()
        for thread in making:
            thread.join()

    def make(self, hold: WorkerId, bound: Callable[[], Callable[[], int]], until: float, thread: int) -> None:
        drawn, left, lags = iter(bound(), None), self.task.most, [0.0]
        with kept_in(self.task, self.by, thread) as file:
            while time.monotonic() < until and not self.stop.is_set():
                if left > 0 and hold.ready:
                    made, _ = keep(drawn, min(self.task.chunk, left), file.write)
                    left -= len(made)
                    lags += [_late_s(made[-1])] if made else []
                    self.stop.wait(self.task.rest_s)
                else:
                    self.stop.wait(0.01)
        say({"by": self.by, "late_s": [min(lags), max(lags)]})


def called(number: int) -> str:
    """Who makes ids: a member of this very process."""
    return f"{os.getpid()}-{number}"


def kept_in(task: Task, by: str, thread: int) -> Any:
    """Where a thread writes down what it makes."""
    return (Path(task.folder) / f"{by}.{thread}").open("ab", buffering=0)


def _late_s(id: int) -> float:
    """How much older than the machine's wall clock an id says that it is."""
    return time.time() - LAYOUT.decode(id).timestamp_ms / 1000


def keep(drawn: Iterator[int], count: int, write: Callable[[Any], object]) -> tuple[array[int], bool]:
    """Writes down the next ids, those before a refusal too: which, and whether there was one."""
    made, refused = array("q"), False
    try:
        made.extend(itertools.islice(drawn, count))
    except IdsRefused:
        refused = True
    write(made)
    return made, refused


@functools.cache
def _clock_of(steps: tuple[tuple[float, float], ...], rate: float) -> SteppedClock:
    """One of the process, from its first hold on."""
    return SteppedClock(steps, rate)


def made_hold(task: Task, name: str, by: str, wanted: int | None = None) -> WorkerId:
    clock = _clock_of(task.steps, task.rate) if task.steps or task.rate != 1 else None
    return WorkerId(Recorded(scheme_of(task.store), say, by), name=name, wanted=wanted, window_s=task.window_s,
                    clock=clock)


def made_generator(task: Task, hold: WorkerId, again: Callable[[], WorkerId] | None = None) -> Generator:
    return Generator(LAYOUT, hold, Pace(lag_ms=task.lag_ms, back_ms=task.back_ms), again=again,
                     sleep=nap if task.faked else time.sleep)


def nap(seconds: float) -> None:
    """Sleeps for so long, and not until then."""
    threading.Event().wait(seconds)


def draw(task: Task) -> None:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    say({"started": os.getpid()})
    members = [threading.Thread(target=Member(task, number, stop).run) for number in range(task.members)]
    for member in members:
        member.start()
    for member in members:
        while member.is_alive():
            member.join(0.1)  # a signal is taken between two waits
    say({"ended": task.name})


def pause(task: Task) -> None:
    """Nothing is known of the stop here: what was prepared before it is used up behind it."""
    by = called(0)
    hold = made_hold(task, task.name, by, task.ordinals[0] if task.ordinals else None).open()
    ids = made_generator(task, hold)
    with ExitStack() as stack:
        files = [stack.enter_context(kept_in(task, by, n)) for n in range(task.threads)]
        drawn = [iter(ids.bound(), None) for _ in files]
        for one, file in zip(drawn, files, strict=True):
            keep(one, task.chunk, file.write)
        say({"pauses": hold.owner.id})
        os.kill(os.getpid(), signal.SIGSTOP)
        found = [keep(one, task.chunk, file.write) for one, file in zip(drawn, files, strict=True)]
    say({"woken": sum(len(made) for made, _ in found), "refused": [refused for _, refused in found]})
    hold.close()


def fork(task: Task) -> None:
    """Children that make ids with what they inherited, beside their parent, each with threads of its own."""
    hold = made_hold(task, task.name, called(0)).open()
    holds: list[WorkerId] = []

    def again() -> WorkerId:
        holds.append(made_hold(task, f"{task.name}-{os.getpid()}", called(0)).open())
        return holds[-1]

    ids = made_generator(task, hold, again if task.again else None)
    ids.next_id()  # the parent's thread has a block, and each child a copy of it
    pids = []
    for number in range(task.children):
        pid = os.fork()
        if not pid:
            with suppress(BaseException):
                child(task, ids, holds, number)
            os._exit(0)
        pids.append(pid)
    make_all(task, ids)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    hold.close()
    say({"parent": os.getpid(), "codes": codes})


def child(task: Task, ids: Generator, holds: list[WorkerId], number: int) -> None:
    try:
        first = ids.next_id()
    except IdError as error:
        say({"child": number, "refused": str(error)})
        return
    with kept_in(task, called(0), -1) as file:
        file.write(array("q", [first]))
    make_all(task, ids)
    holds[-1].close()
    say({"child": number, "made": task.threads * task.most + 1})


def make_all(task: Task, ids: Generator) -> None:
    def make(thread: int) -> None:
        with kept_in(task, called(0), thread) as file:
            drawn, left = iter(ids.next_id, None), task.most
            while left > 0:
                made, refused = keep(drawn, min(left, task.chunk), file.write)
                left -= len(made)
                if refused:  # the window is extended by a thread that has to have its turn as well
                    time.sleep(0.01)

    threads = [threading.Thread(target=make, args=(n,)) for n in range(task.threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    told = msgspec.json.decode(sys.argv[1], type=Task)
    if told.faked:
        SWEEPER.sleep = nap
    with suppress(LeaseLost, ServerError):
        {"draw": draw, "pause": pause, "fork": fork}[told.how](told)
