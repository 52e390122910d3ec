# SPDX-License-Identifier: Apache-2.0
"""What the service asks of others: whoever mends letters, and whoever tells people. Pure.

Both are given to the service; it imports neither. Without them nothing is mended (a letter that is to be waits for a
person), and what there is to tell goes out as events (``PersonNeeded``), which a log or an alert takes up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

from ..._base.events import Events, PersonNeeded
from ..desk import Case
from ..letters import LetterInfo
from .verdict import Mending

#: Why somebody is told.
Tale = Literal["manual", "notify", "exhausted", "refused", "unmended", "stuck", "paused", "resumed"]
TALES: Final[dict[Tale, str]] = {
    "manual": "a rule says that a person has to look",
    "notify": "a rule says that somebody is to be told",
    "exhausted": "it was sent back as often as is allowed, or its time is over",
    "refused": "it must not be sent back without a person's word",
    "unmended": "no repair could mend it",
    "stuck": "it could not be dealt with, again and again",
    "paused": "automatic replays of its category and source pause: most of them died again",
    "resumed": "they go on",
}


@dataclass(frozen=True, slots=True)
class Mended:
    """A message with another body. patch: from the old one to the new one, as JSON Patch or any JSON value; it may be
    left out. why: what was done, in words without payload."""

    body: bytes
    patch: Any = None
    why: str = ""


class Mender(Protocol):
    """Whoever applies repairs. ``deadletters.repairs`` fulfils it."""

    def check(self, name: str, options: Mapping[str, Any]) -> None:
        """Raises ConfigurationError when there is no such repair, or it cannot do with these options. A rules file
        that names it is not taken over then."""
        ...

    async def mend(self, letter: LetterInfo, repairs: Sequence[Mending]) -> Mended | None:
        """The message as these repairs, one after the other, leave it; None when it is not mended by them.

        It is called again for the same letter after a crash, and has to answer the same: it changes nothing outside.
        """
        ...


class Teller(Protocol):
    """Whoever tells people. ``deadletters.notify`` fulfils it."""

    async def tell(self, kind: Tale, case: Case, why: str) -> None:
        """Tells of one case: at least once, and after a crash perhaps twice, so ``(kind, case.letter_id)`` should be
        told apart. Raising tells it again later. ``why``: in words without payload."""
        ...


class NoMender:
    """There are no repairs."""

    def check(self, name: str, options: Mapping[str, Any]) -> None:
        """Any name will do: it is another service that mends."""

    async def mend(self, letter: LetterInfo, repairs: Sequence[Mending]) -> Mended | None:
        return None


class EventTeller:
    """Tells by an event, and nothing else."""

    def __init__(self, events: Events) -> None:
        self._events = events

    async def tell(self, kind: Tale, case: Case, why: str) -> None:
        self._events.emit(PersonNeeded(
            stream=case.logical, group=case.group, letter_id=case.letter_id, kind=kind, category=case.category,
            severity=case.severity, rule=case.rule, why=why))
