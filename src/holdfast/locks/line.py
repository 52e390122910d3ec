# SPDX-License-Identifier: Apache-2.0
"""A line that a server keeps, as one session has it: places in it, and what a back end does with them.

``in_line`` says how a lock is made of it; ``zookeeper`` and ``etcd`` fulfil it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from .._coord.tenure import Tenure
    from .tied import Tied


@dataclass(frozen=True)
class Share:
    """How a place is taken. line: of which kind; those of one name and kind stand in one line. shared: with all others
    that are. The rest: see ``Keeper``."""

    kind: str
    line: str
    shared: bool = False
    again: tuple[str, ...] = ()
    never_under: tuple[str, ...] = ()


MUTEX = Share("mutex", "mutex", again=("mutex",))
READ = Share("read", "read-write", shared=True, again=("read", "write"))
WRITE = Share("write", "read-write", again=("write",), never_under=("read",))


@dataclass(frozen=True)
class Place:
    """A place in a line. path: where the server has it; token: its number, larger than that of all places before."""

    path: str
    token: int
    shared: bool = False


class Displaced(Exception):
    """Somebody removed our place while we waited."""


class Line(Protocol):
    """What one session does with lines. Everything raises LeaseLost when that is lost, ServerUnreachable when no answer
    came."""

    session: Tenure

    async def enter(self, name: str, share: Share, acquisition: str, about: bytes) -> Place:
        """A place at the end. Asked until it is answered; leaves none when the caller stops waiting."""
        ...

    async def before(self, place: Place) -> str | None:
        """The nearest place before it that it has to wait for. Raises Displaced when it is not there itself."""
        ...

    async def gone(self, path: str) -> None:
        """Returns when that place is not there any more. A server that is away is waited for."""
        ...

    async def leave(self, place: Place) -> bool:
        """Removes it; says whether it was there. One try."""
        ...

    async def standing(self, folder: str) -> list[tuple[Place, bytes]]:
        """All places under ``folder``, in their order, with what lies there."""
        ...

    def mind(self, held: Tied, place: Place) -> None:
        """From now on ``held.lose("server")`` is called when somebody removes its place, until it is over."""
        ...

    async def close(self) -> None:
        """Ends the session, and all places with it."""
        ...
