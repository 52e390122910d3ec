# SPDX-License-Identifier: Apache-2.0
"""What users tell each other in a simulated cluster: (letter, peer, now) → is it new, what does it say, who pays.

``Events`` is Serf's way: a Lamport time, and a ring that knows what was heard. ``Signed`` is ours.
"""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol

from ...._base.clock import WallMs
from ....errors import BadPacket
from ...serf.clock import LamportClock
from ...serf.messages import UserEvent
from ...serf.recent import RecentEvents
from ...signing import Accepted, Blame, Duplicate, Envelope, Kind, Signer, Verifier
from ...wire.serf import decode, encode

NAME: Final = "news"
#: The simulated clock begins here.
BEGAN_MS: Final = 1_700_000_000_000


class Heard(NamedTuple):
    """text: what a letter says that is good. new: it was not heard before. blame: why its peer pays; empty: it does
    not. envelope: what was signed, where it was."""

    text: bytes | None = None
    new: bool = False
    blame: str = ""
    envelope: Envelope | None = None


class Letters(Protocol):
    """One member's."""

    def say(self, text: bytes, now: float) -> bytes:
        """A letter of its own."""
        ...

    def hear(self, letter: bytes, peer: str, now: float) -> Heard:
        """One that came by that peer."""
        ...


class Events:
    """Serf's user events: nobody knows who said one."""

    def __init__(self) -> None:
        self._clock = LamportClock()
        self._recent = RecentEvents(self._clock)

    def say(self, text: bytes, now: float) -> bytes:
        event = UserEvent(self._clock.increment(), NAME, text)
        self._recent.hear(event)
        return encode(event)

    def hear(self, letter: bytes, peer: str, now: float) -> Heard:
        try:
            event = decode(letter)
            if not isinstance(event, UserEvent):
                return Heard()
            return Heard(event.payload or b"", self._recent.hear(event))
        except BadPacket as error:
            return Heard(blame=error.why)


class Signed:
    """Messages whose origin has signed them."""

    def __init__(self, signer: Signer, verifier: Verifier) -> None:
        self._signer, self._verifier = signer, verifier

    def say(self, text: bytes, now: float) -> bytes:
        letter = self._signer.sign(Kind.USER, NAME, text, wall(now))
        self._verifier.verify(letter, "", wall(now))  # so that it is no news when it comes back
        return letter

    def hear(self, letter: bytes, peer: str, now: float) -> Heard:
        verdict = self._verifier.verify(letter, peer, wall(now))
        blame = next((effect.reason.value for effect in verdict.effects if isinstance(effect, Blame)), "")
        if not isinstance(verdict.result, Accepted | Duplicate):
            return Heard(blame=blame)
        envelope = verdict.result.envelope
        return Heard(envelope.payload, isinstance(verdict.result, Accepted), blame, envelope)


def wall(now: float) -> WallMs:
    """The simulated clock as machines' clocks show it."""
    return WallMs(BEGAN_MS + int(1000 * now))
