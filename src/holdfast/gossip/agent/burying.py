# SPDX-License-Identifier: Apache-2.0
"""Deaths in a native cluster: believed on several members' words, see ``defence.deaths``.

::

    what comes ─▶ gated: a death without a certificate is an accusation ─▶ core
    core: a suspicion ran out ─▶ may_bury ─▶ accusation, as gossip; "look yourself", to some
    accusations ─▶ accused ─▶ passed on while they are news; enough ─▶ the death is believed
    "look yourself" ─▶ suspected here too: the last ping at once; buried here already: the certificate, to who asked

Accusations go round in datagrams as news do: each member passes on what is news to it. Whoever missed a certificate
suspects the dead member sooner or later, asks, and is told it; whoever enters never knew the dead one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final

from ..._base.chance import Chance
from ..core.effects import Judged
from ..core.events import Hasten, Received, Spread
from ..core.members import Member
from ..defence.acts import Act, Burial, Tell
from ..defence.deaths import Roster, Solicit, decode
from ..messages import Address, Alive, Dead, Message, Suspect, User
from ..native.verdicts import Accused, Solicited

if TYPE_CHECKING:
    from ..core.members import Live
    from .guarding import Guarding
    from .shell import Shell

__all__ = ["OF_DEATHS", "Burying"]

#: What is not the core's.
OF_DEATHS: Final = (Accused, Solicited)


class Burying:
    """Of one member. do: carries out what else the guard wants."""

    def __init__(self, guarding: Guarding, do: Callable[[Iterable[Act]], None]) -> None:
        self._guarding, self._guard, self._do = guarding, guarding.guard, do

    # -- for the core

    def may_bury(self, member: Member, live: Live, now: float, chance: Chance) -> Burial:
        """This member's suspicion of another ran out. ``core.Burial``."""
        return self._guard.bury(member.node, member.incarnation, live, self._guarding.now, chance)

    def gated(self, messages: Iterable[Message], live: Roster) -> list[Message]:
        """What is handed to the core."""
        return [self._gated(message, live) for message in messages]

    def _gated(self, message: Message, live: Roster) -> Message:
        if isinstance(message, Alive):
            self._guard.refuted(message.node, message.incarnation)
        return self._guard.gate(message, live, self._guarding.now)  # guard: nobody dies by one word

    def refuted(self, name: str, incarnation: int) -> None:
        """This member contradicted what was said of it."""
        self._guard.refuted(name, incarnation)

    # -- for the shell

    def judged(self, judged: Judged, shell: Shell) -> None:
        """What the core was told about a death is to be done."""
        self._carry(judged.acts, shell)

    def heard(self, message: User, source: Address, node: str, shell: Shell) -> None:
        """Something about a death came. Raises BadPacket."""
        if isinstance(message, Solicited):
            self._solicited(*message.whom(), source, shell)
        elif self._known(message.payload):
            burial = self._guard.accused(node, message.payload, shell.core.live, self._guarding.now)
            self._carry(burial.acts, shell)
            if burial.allowed:
                shell.handle(Received((Dead(burial.incarnation, burial.node, shell.name),), source))

    def _known(self, data: bytes) -> bool:
        """Are all accusers' keys known, and good? For one that was expelled, who passes it on is not to blame."""
        evidence = self._guarding.evidence
        return evidence is not None and all(  # guard: nobody pays for what he cannot know
            evidence.knows(one.accuser) for one in decode(data).accusations)

    def _solicited(self, name: str, incarnation: int, source: Address, shell: Shell) -> None:
        member = shell.core.member(name)
        if member is not None and member.gone:
            known = self._guard.certified(name, incarnation)
            if known is not None:
                shell.send(source, (Accused(known),))  # guard: whoever missed it is told
        elif self._guard.asked(name, incarnation, shell.core.live, self._guarding.now):
            shell.handle(Hasten(name, incarnation))

    def _carry(self, acts: Sequence[object], shell: Shell) -> None:
        for act in acts:
            if isinstance(act, Solicit):
                word = (Suspect(act.incarnation, act.node, shell.name), Solicited.of(act.node, act.incarnation))
                for name in act.asked:
                    member = shell.core.member(name)
                    if member is not None:
                        shell.send(member.address, word, name)
            elif isinstance(act, Tell):
                shell.handle(Spread(Accused(act.data), f"death of {decode(act.data).node}"))
            else:
                self._do((act,))  # type: ignore[arg-type]  # the core hands on what the guard gave it
