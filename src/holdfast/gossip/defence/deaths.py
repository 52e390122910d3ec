# SPDX-License-Identifier: Apache-2.0
"""Nobody is dead because one member says so: a death takes several accusers' signatures.

::

    my suspicion ran out ── accuse() ─▶ my signed accusation, spread as news
                                              │ k different ones
    others' accusations ─── heard() ─────────▶│
                                              ▼
               too few ─▶ Solicit: "probe it yourself"      enough ─▶ Certificate, spread; the death is believed

k is ``min(accusers, live - 1)``: among two live members one accuser is all there can be, so a cluster can shrink to
nothing. Live are those held to be alive or suspect, less those that *this* member accuses itself because its own pings
stayed unanswered: where most crash at once, those that are left must not wait for the words of the dead. No liar can
make that number smaller, since it takes silence, not words.

An accusation names an incarnation. The accused answers with a higher one, and all accusations of lower ones are void
from then on, also those that come after the case is closed: that, and no clock, is what keeps old ones from being used
again, and from going round as news for as long as somebody has not heard them twice.

**How it meets Lifeguard's timers.** They stay as they are: a suspicion still waits for its time-out, shortened by each
confirmation, with a last ping at its end. Only what follows changes, at two places around ``core``:

1. *What comes in*: every message goes through ``gate`` before ``Received``. An uncertified ``Dead`` becomes the
   ``Suspect`` that its sender was entitled to say: it starts or confirms a suspicion, and the accused can refute it.
2. *What this member concludes itself*: before it declares a death the core asks its ``burial``, and that is
   ``may_bury``. If not, the shell spreads ``accuse(…)`` and sends what ``solicit`` names (the effect ``Judged``), and
   the core asks again after the suspicion's shortest time.

**Price.** Every death waits for k members to have probed: with solicitation about one probe interval more. Where fewer
than k can still be reached, each death waits until this member has given up on all the others as well. k accusers in
league can kill; what they cannot do is have k names (``subnets``). A goodbye is the member's own and
passes: that its signature is the member's is the signing layer's to see.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import msgspec

from ..._base.chance import Chance
from ...errors import BadPacket, ConfigurationError
from ..messages import Dead, Message, Suspect
from .drawing import sample
from .framing import decoded, encoded, framed, read

#: Signs as this member. Verifies: is that signature over those bytes the named member's?
Sign = Callable[[bytes], bytes]
Verify = Callable[[str, bytes, bytes], bool]
#: Bytes of a certificate on the wire.
CERTIFICATE_MAX: int = 16_384


class Roster(Protocol):
    """Who is held to be live, the suspected ones and this member included. A set of names fits."""

    def __len__(self) -> int: ...

    def __contains__(self, name: object, /) -> bool: ...


@dataclass(frozen=True)
class Quorum:
    """accusers: how many a death takes, where there are that many. 3 as memberlist's suspicion wants 2 confirmations;
    more: fewer lies succeed, and deaths wait for more probes. window_s: an accusation counts so long after it was
    heard. ask: members solicited at once; every_s: how often for one member. accused_max, accusers_max: kept at once.
    floors_max: members of which it is remembered what they refuted; those that refuted long ago go first. Price of
    fewer than members: old accusations of them are news again.
    """

    accusers: int = 3
    window_s: float = 120.0
    ask: int = 4
    every_s: float = 2.0
    accused_max: int = 1_024
    accusers_max: int = 16
    floors_max: int = 16_384

    def __post_init__(self) -> None:
        if min(self.accusers, self.ask, self.accused_max, self.floors_max) < 1 or self.accusers_max < self.accusers:
            raise ConfigurationError("a quorum takes one accuser at least, and keeps as many as it takes")
        if self.window_s <= 0 or self.every_s <= 0:
            raise ConfigurationError("a quorum's window_s and every_s are above 0")


class Accusation(msgspec.Struct, frozen=True):
    """``accuser`` signs that it could not reach ``node`` in this incarnation."""

    node: str
    incarnation: int
    accuser: str
    signature: bytes


class Certificate(msgspec.Struct, frozen=True):
    """Enough accusations of one incarnation of one member."""

    node: str
    incarnation: int
    accusations: tuple[Accusation, ...]


class _Wire(msgspec.Struct, frozen=True, array_like=True):
    node: bytes
    incarnation: int
    accusations: list[tuple[bytes, bytes]]


class Solicit(msgspec.Struct, frozen=True):
    """Ask these to probe the member themselves, and to sign what they find."""

    node: str
    incarnation: int
    asked: tuple[str, ...]


class _Case:
    """What is said of one member. Each accuser has one word in it, the one about the highest incarnation: whoever
    invents incarnations uses up its own word and nobody else's."""

    __slots__ = ("asked_at", "certified", "probed_at", "words")

    def __init__(self) -> None:
        self.words: dict[str, tuple[Accusation, float]] = {}
        self.asked_at = self.probed_at = -1e300
        self.certified = -1

    def of(self, incarnation: int) -> list[tuple[Accusation, float]]:
        return [word for word in self.words.values() if word[0].incarnation == incarnation]


class Deaths:
    """Accusations under way. cluster: its label, so that signatures of another cluster are none here."""

    __slots__ = ("_cases", "_cluster", "_floors", "_me", "_sign", "_unreached", "_verify", "quorum")

    def __init__(self, quorum: Quorum, me: str, sign: Sign, verify: Verify, cluster: bytes = b"") -> None:
        self.quorum, self._me, self._sign, self._verify, self._cluster = quorum, me, sign, verify, cluster
        self._cases: OrderedDict[str, _Case] = OrderedDict()
        # By member: the incarnation that it showed. It outlives the case.
        self._floors: OrderedDict[str, int] = OrderedDict()
        # Whom this member accuses itself.
        self._unreached: set[str] = set()

    def wanted(self, node: str, live: Roster) -> int:
        """How many accusers that member's death takes now."""
        unreached = sum(name in live for name in self._unreached if name != node)
        others = len(live) - unreached - 1
        return max(1, min(self.quorum.accusers, others))  # guard: k is what is configured, or all others

    def accuse(self, node: str, incarnation: int, now: float) -> Accusation:
        """This member's own signed accusation, to be spread. It counts here as well."""
        signature = self._sign(self._bytes(node, incarnation, self._me))
        accusation = Accusation(node, incarnation, self._me, signature)
        self._keep(accusation, now)
        self._unreached.add(node)
        return accusation

    def heard(self, accusation: Accusation, live: Roster, now: float) -> bool | None:
        """Is it new, so that it is to be spread on? None: it is forged, and whoever brought it pays. Accusations by
        and of strangers are not looked at: an issuer of names would cost signatures."""
        if accusation.accuser not in live or accusation.node not in live or accusation.accuser == accusation.node:
            return False
        if self._over(accusation.node, accusation.incarnation):
            return False
        case = self._cases.get(accusation.node)
        word = None if case is None else case.words.get(accusation.accuser)
        if word is not None and (accusation.incarnation < word[0].incarnation or (
                accusation.incarnation == word[0].incarnation and now - word[1] <= self.quorum.window_s)):
            return False
        return self._keep(accusation, now) if self._signed(accusation) else None

    def certificate(self, node: str, incarnation: int, live: Roster, now: float) -> Certificate | None:
        """Enough accusations by live members, if there are."""
        case = self._cases.get(node)
        found = [] if case is None else [accusation for accusation, heard in case.of(incarnation)
                                         if now - heard <= self.quorum.window_s and accusation.accuser in live]
        if len(found) < self.wanted(node, live):
            return None
        return Certificate(node, incarnation, tuple(found[:self.quorum.accusers]))

    def check(self, certificate: Certificate, live: Roster, now: float) -> bool | None:
        """Is it enough, by this member's own count of the live? None: it holds a forged accusation. What holds is kept
        either way: two good accusations of a certificate that is short of a third count with a third one."""
        if len(certificate.accusations) > self.quorum.accusers_max:
            return None
        for one in certificate.accusations:
            same = (one.node, one.incarnation) == (certificate.node, certificate.incarnation)
            if not same or self.heard(one, live, now) is None:
                return None
        return self.may_bury(certificate.node, certificate.incarnation, live, now)

    def may_bury(self, node: str, incarnation: int, live: Roster, now: float) -> bool:
        """May this member believe the death?"""
        case = self._cases.get(node)
        if case is None:
            return False
        if case.certified != incarnation and self.certificate(node, incarnation, live, now) is not None:
            case.certified = incarnation  # it stays so, though accusers may die after
        return case.certified == incarnation

    def gate(self, message: Message, live: Roster, now: float) -> Message:
        """What to hand to the core in place of a message: an uncertified death is an accusation."""
        if not isinstance(message, Dead) or message.graceful or self.may_bury(
                message.node, message.incarnation, live, now):
            return message
        return Suspect(message.incarnation, message.node, message.accuser)  # guard: one liar kills nobody

    def solicit(self, node: str, incarnation: int, live: Iterable[str], now: float, chance: Chance) -> Solicit | None:
        """Whom to ask where accusers are too few; None: it was asked lately, or there is nobody left to ask."""
        case = self._case(node)
        spoken = {accusation.accuser for accusation, _ in case.of(incarnation)}
        others = sorted(name for name in live if name not in (node, self._me) and name not in spoken)
        if not others or now - case.asked_at < self.quorum.every_s:
            return None
        case.asked_at = now
        return Solicit(node, incarnation, tuple(sample(others, self.quorum.ask, chance)))

    def may_probe(self, node: str, incarnation: int, live: Roster, now: float) -> bool:
        """This member is asked (``Solicit``) to probe a member itself: shall it? Once in ``every_s`` for each, however
        many ask; what it would tell anybody it tells all."""
        if node == self._me or node not in live or self._over(node, incarnation):
            return False
        case = self._case(node)
        word = case.words.get(self._me)
        if (word is not None and word[0].incarnation >= incarnation) or now - case.probed_at < self.quorum.every_s:
            return False  # guard: asking makes no storm of probes
        case.probed_at = now
        return True

    def known(self, node: str, incarnation: int) -> Certificate:
        """All accusations of it in that incarnation that were verified here, enough or not."""
        case = self._cases.get(node)
        return Certificate(node, incarnation, () if case is None else tuple(
            accusation for accusation, _ in case.of(incarnation)))

    def certified(self, node: str, incarnation: int) -> Certificate | None:
        """What convinced this member of that death, as long as it is remembered, for who missed it; None: nothing."""
        case = self._cases.get(node)
        if case is None or case.certified != incarnation:
            return None
        words = case.of(incarnation)[:2 * self.quorum.accusers]  # some may be nobody's whom the other one knows
        return Certificate(node, incarnation, tuple(accusation for accusation, _ in words))

    def refuted(self, node: str, incarnation: int) -> bool:
        """It lives, in that incarnation: accusations of lower ones are void, now and later. Were there any?"""
        if incarnation > self._floors.get(node, 1):  # nobody is below its first one
            self._floors[node] = incarnation
            self._floors.move_to_end(node)
            if len(self._floors) > self.quorum.floors_max:
                self._floors.popitem(last=False)
        case = self._cases.get(node)
        if case is None:
            return False
        void = [accuser for accuser, (accusation, _) in case.words.items() if accusation.incarnation < incarnation]
        for accuser in void:
            del case.words[accuser]
        if self._me not in case.words:
            self._unreached.discard(node)
        return bool(void)

    def forget(self, node: str) -> None:
        """It is no member any more: what it refuted need not be remembered. Where it comes back it says how far."""
        self._floors.pop(node, None)

    def tidy(self, now: float) -> None:
        """Forgets cases in which nothing counts any more."""
        for node, case in list(self._cases.items()):
            latest = max([case.probed_at, case.asked_at, *(heard for _, heard in case.words.values())])
            if now - latest > self.quorum.window_s:
                self._drop(node)

    def _over(self, node: str, incarnation: int) -> bool:
        """Is that an incarnation that the member has left behind?"""
        return incarnation < self._floors.get(node, 0)  # guard: what was refuted is no news again

    def _keep(self, accusation: Accusation, now: float) -> bool:
        case = self._case(accusation.node)
        if accusation.accuser not in case.words and len(case.words) >= self.quorum.accusers_max:
            return False
        case.words[accusation.accuser] = accusation, now
        return True

    def _case(self, node: str) -> _Case:
        case = self._cases.get(node)
        if case is None:
            self._cases[node] = case = _Case()
            if len(self._cases) > self.quorum.accused_max:
                self._drop(next(iter(self._cases)))
        return case

    def _drop(self, node: str) -> None:
        del self._cases[node]
        self._unreached.discard(node)

    def _signed(self, one: Accusation) -> bool:
        return self._verify(one.accuser, self._bytes(one.node, one.incarnation, one.accuser), one.signature)

    def _bytes(self, node: str, incarnation: int, accuser: str) -> bytes:
        return framed("holdfast gossip accusation 1", self._cluster, node, incarnation, accuser)


def encode(certificate: Certificate) -> bytes:
    """For the wire. Names go as bytes: a name that is no text is a name."""
    return msgspec.msgpack.encode(_Wire(encoded(certificate.node), certificate.incarnation, [
        (encoded(one.accuser), one.signature) for one in certificate.accusations]))


def decode(data: bytes) -> Certificate:
    """From the wire. Raises BadPacket."""
    wire = read(data, _Wire, CERTIFICATE_MAX, "a certificate")
    if not 0 <= wire.incarnation < 1 << 32:
        raise BadPacket("an incarnation is a number of 32 bits")
    node = decoded(wire.node)
    return Certificate(node, wire.incarnation, tuple(
        Accusation(node, wire.incarnation, decoded(accuser), signature) for accuser, signature in wire.accusations))
