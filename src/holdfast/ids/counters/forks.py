# SPDX-License-Identifier: Apache-2.0
"""What a forked child begins anew: locks that some thread of the parent may have held, sockets, ids that are the
parent's.

A fork waits for questions that are under way, for a moment: drivers have locks and states of their own, which a child
inherits as they are and nobody there ever lets go of. SQLite is the worst: it keeps in memory that this process holds
the file, so that a child's own connections find it locked for good.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections.abc import Iterator
from typing import Protocol

#: Longest time that a fork waits for questions to stores.
WAIT_S = 2.0


class Forkable(Protocol):
    """Whoever has something that a child must not share."""

    def forked(self) -> None:
        """Called in the child, before anything else runs there."""
        ...


class Forks:
    """Questions to stores, and forks, which wait for one another."""

    def __init__(self) -> None:
        self._things: weakref.WeakSet[Forkable] = weakref.WeakSet()
        self._begin()

    def _begin(self) -> None:
        self._guard = threading.Condition(threading.Lock())
        self._asking = 0

    def tell(self, thing: Forkable) -> None:
        """Tells ``thing`` in every child, as long as somebody has it."""
        self._things.add(thing)

    @contextlib.contextmanager
    def asking(self) -> Iterator[None]:
        """Around a question to a store: it is not forked in its midst."""
        with self._guard:
            self._asking += 1
        try:
            yield
        finally:
            with self._guard:
                self._asking -= 1
                self._guard.notify_all()

    def before(self) -> None:
        """Waits until nothing is asked, and keeps it so. A fork cannot be refused: it waits for a moment only."""
        self._guard.acquire()
        self._guard.wait_for(lambda: not self._asking, WAIT_S)  # guard: no question is forked in its midst

    def in_parent(self) -> None:
        """Lets questions go on."""
        self._guard.release()

    def in_child(self) -> None:
        """Whoever has something of the parent's begins anew."""
        self._begin()
        for thing in tuple(self._things):
            thing.forked()


FORKS = Forks()
os.register_at_fork(before=FORKS.before, after_in_parent=FORKS.in_parent, after_in_child=FORKS.in_child)


def begins_anew(thing: Forkable) -> None:
    """Tells ``thing`` in every child, as long as somebody has it."""
    FORKS.tell(thing)
