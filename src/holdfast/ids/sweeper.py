# SPDX-License-Identifier: Apache-2.0
"""Empties blocks of ids that nobody has used for too long. One daemon thread a process, which waits while there is
none.

A thread that draws ids tells it about itself once, and writes the time at which its present block is old into an
attribute of its own: that is all that a block costs. Emptying one that was replaced meanwhile wastes ids and no more.
"""

from __future__ import annotations

import math
import threading
import time
import weakref
from typing import Protocol


class Block(Protocol):
    """What a thread draws from. due: when it is old; infinity while there is nothing in it."""

    due: float

    def drop(self) -> None:
        """Whoever draws next takes new ids."""
        ...


class Sweeper:
    """Looks after the blocks of a process."""

    now = staticmethod(time.monotonic)
    sleep = staticmethod(time.sleep)

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._blocks: weakref.WeakSet[Block] = weakref.WeakSet()
        self._thread: threading.Thread | None = None
        #: Set while some block has a time.
        self.awake = threading.Event()

    def add(self, block: Block) -> None:
        """Looks after it from now on."""
        with self._guard:
            self._blocks.add(block)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="holdfast-ids", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            self.awake.wait()
            due = self.sweep()
            if due == math.inf:
                self.awake.clear()
                due = self.sweep()  # guard: one that had its time before the clear is seen here
            if due < math.inf:
                self.awake.set()
                self.sleep(max(0.001, due - self.now()))

    def sweep(self) -> float:
        """Empties what is due; when the next one is, or infinity."""
        with self._guard:
            blocks = list(self._blocks)
        now = self.now()
        for block in blocks:
            if block.due <= now:
                block.due = math.inf
                block.drop()
        return min((block.due for block in blocks), default=math.inf)

    def forked(self) -> None:
        """In a child: empties everything. Its thread is the parent's, and its lock may have been taken."""
        for block in list(self._blocks):
            block.drop()
        self._guard, self._thread, self.awake = threading.Lock(), None, threading.Event()


SWEEPER = Sweeper()
