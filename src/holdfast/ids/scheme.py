# SPDX-License-Identifier: Apache-2.0
"""What a scheme of worker ids is: where it is written down who has which one, and until when.

Every scheme keeps, for each worker id, the end of the last window that was ever given for it, and gives the next one
behind that. A store with a clock says what time it is; one without (etcd, Kubernetes) takes the time from whoever asks,
and keeps windows apart by comparing and setting their ends: then a clock that is ahead costs ids, one that is behind
costs waiting, and neither costs uniqueness.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from .term import Window


@dataclass(frozen=True)
class Owner:
    """Who asks. id: of this hold, no other one has it. name: for people, and for getting the same worker id again.

    wanted: the worker id that must be had (an ordinal, an environment variable); None: any.
    """

    id: str
    name: str
    wanted: int | None = None


@dataclass(frozen=True)
class Grant:
    """A worker id for a window. now_ms: the store's time when it answered."""

    worker: int
    window: Window
    now_ms: float


@dataclass(frozen=True)
class Holding:
    """One worker id that is or was held, for people. live: its window has not ended."""

    worker: int
    owner: str
    window_start_ms: int
    window_end_ms: int
    live: bool


class Scheme(Protocol):
    """Worker ids from 0 to ``workers`` - 1. All times are the store's, in ms since 1970.

    One may also have ``identity``, a text that says which store and which pool it is, without a password: for whoever
    remembers what it gave (``remembered.py``).
    """

    name: str
    workers: int

    async def claim(self, owner: Owner, lease_ms: int) -> Grant:
        """Gives a worker id and its first window. Asked again by the same owner, it answers with the same one.

        A window that begins later may be short, or empty (it ends before it begins), until it is renewed.

        Raises WorkerIdTaken when the wanted one is somebody else's, WorkerIdsExhausted when all are.
        """
        ...

    async def renew(self, owner: Owner, grant: Grant, lease_ms: int) -> Grant:
        """Extends the window to ``lease_ms`` from now. LeaseLost when the worker id is somebody else's by now."""
        ...

    async def release(self, owner: Owner, grant: Grant, last_ms: int) -> None:
        """Ends the window at ``last_ms``, the time of the last id that was made: the next one begins behind it."""
        ...

    async def holders(self) -> list[Holding]:
        """Every worker id that was ever given, in order."""
        ...

    async def close(self) -> None:
        """Lets go of connections."""
        ...


@runtime_checkable
class Telling(Protocol):
    """A scheme that learns by itself that what it gave is lost: its session ended."""

    def lost(self, tell: Callable[[str], None]) -> None:
        """``tell(cause)`` is called for it, in the loop that claimed, before a renewal could say so."""
        ...
