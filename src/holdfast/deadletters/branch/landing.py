# SPDX-License-Identifier: Apache-2.0
"""From a broker to the desk: each letter is kept in the desk's database, put on its shelf, and only then removed there.

::

    read, held ─▶ its whole entry at the desk ─▶ the shelf, once ─▶ off the broker
                  1                              2                 3

A crash after 1 or 2 leaves the letter at the broker as well; it is read again, and known by its id in both places. So
it is never nowhere, and one case. What the shelf's server loses in a crash of its own (``everysec`` loses up to a
second) lies at the desk still: ``restore`` puts back what has no case yet.

Several instances may read one group. RabbitMQ lets one at a time; Kafka lets all, and they meet in step 2.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from ..._base import points
from ..._base.chance import Chance, new_id
from ..._base.clock import Clock
from ..._base.letter_build import Letter
from ..._base.thinned import Thinned
from ...brokers.letters import Kept
from ...errors import HoldfastError, ServerRefused, ServerUnreachable
from ..desk import Desk
from ..desk.arrived import keep_arrived, uncased
from ..export import exported, fields_of
from ..letters import letter_info
from ..shelf import Shelf
from ..taking_in import take_in
from .origin import Origin, id_at_desk, renamed

if TYPE_CHECKING:
    from ...brokers.letters import Box

__all__ = ["Landing"]

#: Letters that are held at a time, and in one step.
MOST: Final = 1_000
LOT: Final = 100


class Landing:
    """Of one group. shelf: of its stream at the desk's server. counted: told what became of so many: landed, stayed."""

    def __init__(self, origin: Origin, box: Box, shelf: Shelf, desk: Desk, *, chance: Chance, clock: Clock,
                 counted: Callable[[str, int], object]) -> None:
        self._trouble = Thinned(clock)
        self._origin, self._box, self._shelf, self._desk, self._chance = origin, box, shelf, desk, chance
        self._clock, self._counted = clock, counted
        self._mark: object = None
        #: Why the last sweep left letters there; empty: it left none.
        self.left = ""
        #: When a sweep last went through, before the first time, when this began; and when the oldest letter was buried
        #: that was seen there and not taken over; None: there is none. In ms since 1970.
        self.swept_ms: int = clock.wall_ms()
        self.oldest_ms: int | None = None
        self._clean_ms = self.swept_ms

    async def sweep(self) -> int:
        """Takes over what lies there, at most ``MOST``; gives how many. One that cannot be taken over stays there.

        Raises ConfigurationError: there is no such group; ServerError: the broker, the server or the desk is away.
        """
        mark = await self._box.mark()
        if mark is not None and mark == self._mark:
            self._swept([])
            return 0
        stay, self.left = list[Kept](), ""
        try:
            async with self._box.held(MOST) as found:
                self._saw(found)
                for lot in _lots(found):
                    stay += await self._land(lot)
        except ServerRefused as error:
            if error.code != "RESOURCE_LOCKED":
                raise
            self._saw([])  # another instance is at it, or a person looks
            return 0
        self._swept(stay)  # guard: swept when it was dealt with
        self._mark = mark if not found else None
        return len(found) - len(stay)

    def _saw(self, there: Sequence[Kept]) -> None:
        """What lies there. One that does not say when it was buried came when nothing lay there, at the earliest."""
        self.oldest_ms = min((_buried_ms(kept) or self._clean_ms for kept in there), default=None)

    def _swept(self, stay: Sequence[Kept]) -> None:
        self._saw(stay)
        self.swept_ms = self._clock.wall_ms()
        if not stay:
            self._clean_ms = self.swept_ms

    async def _land(self, lot: Sequence[Kept]) -> list[Kept]:
        """Gives those that stay."""
        here = await self._kept([(kept, self._letter(kept)) for kept in lot])
        await self._box.remove_all(here)  # guard: removed there when it is here
        points.reached("branch.land.removed")
        places = {kept.place for kept in here}
        stay = [kept for kept in lot if kept.place not in places]
        for what, some in (("landed", here), ("stayed", stay)):
            if some:
                self._counted(what, len(some))
        return stay

    async def _kept(self, lot: Sequence[tuple[Kept, Letter]]) -> list[Kept]:
        """Keeps them at the desk and puts them on the shelf; gives those that are there now."""
        try:
            points.reached("branch.land.before")
            await asyncio.gather(*(keep_arrived(self._desk, letter.id, self._packed(letter)) for _, letter in lot))
            points.reached("branch.land.kept")
            for _, letter in lot:
                await take_in(self._shelf, letter)
            points.reached("branch.land.shelved")
        except (ServerUnreachable, TimeoutError):
            raise
        except Exception as error:  # noqa: BLE001 - whatever a database or a server says to one letter, the others go on
            if len(lot) > 1:
                return [kept for one in lot for kept in await self._kept([one])]
            said = str(error) if isinstance(error, HoldfastError) else type(error).__name__
            self.left = f"a letter stays at its broker: {said}"
            self._trouble.warn(f"a letter of {self._origin.name}/{self._origin.group} stays where it is",
                               f"{lot[0][0].place}: {said}")
            return []
        return [kept for kept, _ in lot]

    def _letter(self, kept: Kept) -> Letter:
        prefix, at_ms = self._shelf.prefix, _buried_ms(kept)
        # A topic's place is the same whenever it is read; a queue's tag is another one each time.
        place = kept.handles[0] if isinstance(kept.handles[0], str) else new_id(self._chance)
        known_by = id_at_desk(self._origin, kept.fields, prefix=prefix, at_ms=at_ms, place=place)
        return Letter(known_by, renamed(kept.fields, known_by, prefix=prefix))

    def _packed(self, letter: Letter) -> bytes:
        told = letter_info(self._origin.name, self._origin.group, b"0-0", letter.fields, self._shelf.prefix)
        return msgspec.json.encode(exported(told))

    async def restore(self) -> int:
        """Puts on the shelf what was kept, has no case, and was lost by the shelf's server; gives how many."""
        found, after = 0, ""
        while page := await uncased(self._desk, after=after):
            after = page[-1][0]
            for letter_id, line in page:
                told = msgspec.json.decode(line)
                if (told["stream"], told["group"]) == (self._origin.name, self._origin.group):
                    found += await take_in(self._shelf, Letter(letter_id, fields_of(line)))
        return found


def _buried_ms(kept: Kept) -> int:
    """0: it does not say when."""
    return int(kept.place.partition("-")[0])


def _lots(found: Sequence[Kept]) -> list[Sequence[Kept]]:
    return [found[at:at + LOT] for at in range(0, len(found), LOT)]
