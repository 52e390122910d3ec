# SPDX-License-Identifier: Apache-2.0
"""Which dead line a person means by the beginning of an id; and looking, where to see one is to read all of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Sequence

from ...errors import LetterNotFound
from ..dead_lines import DeadChoice, DeadLine

#: Fewer characters name nothing: a slip of the hand would find something.
SHORTEST = 4


def the_one(line_id: str, found: Sequence[str]) -> str:
    """``found``: ids that begin so. LetterNotFound when it is none, or more than one."""
    if line_id in found:
        return line_id
    if len(line_id) < SHORTEST:
        raise LetterNotFound(f"{line_id!r} is too short for a dead line's id: give {SHORTEST} characters at least")
    if not found:
        raise LetterNotFound(f"there is no dead line {line_id!r}")
    if len(found) > 1:
        raise LetterNotFound(f"{len(found)} dead lines begin with {line_id!r}, {found[0][:16]} and {found[1][:16]} "
                             "among them: give more of its id")
    return found[0]


class Scanned:
    """``list`` and ``get`` of dead lines that can only be read as a whole."""

    async def list(self, choice: DeadChoice | None = None) -> AsyncIterator[DeadLine]:
        wanted = choice or DeadChoice()
        for line in sorted((await self._all()).values(), key=lambda line: line.first_ms):
            if wanted.takes(line):
                yield line

    async def get(self, line_id: str) -> DeadLine:
        found = await self._all()
        return found[the_one(line_id, [one for one in found if one.startswith(line_id)])]

    @abstractmethod
    async def _all(self) -> dict[str, DeadLine]: ...
