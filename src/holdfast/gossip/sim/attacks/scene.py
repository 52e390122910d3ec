# SPDX-License-Identifier: Apache-2.0
"""A simulated cluster that is attacked: a ``World`` whose packets are bytes, whose members have a layer above, with
places for an attacker on the way (``Path``) and among the members (``Hostile``).

What an attacker can do is what its place allows and no more: who stands on the way has bytes and no keys; who is a
member has what members are given. Where a member's address lies on the Internet is ``hosts``: honest ones are spread,
two in each /24.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ...._base.chance import Chance
from ...core.core import Core
from ...core.effects import Deliver, Effect, Exchange, Judged, Packet, Refuted
from ...core.events import Exchanged, Received, Spread
from ...core.members import Roll, States
from ...core.node import Burial
from ...defence.acts import Tell
from ...defence.drawing import sample
from ...defence.views import Entry
from ...messages import Alive, Dead, Message, NodeState, State, Suspect, User
from ...profiles import LAN, Profile
from ..network import Network
from ..sizes import weigh
from ..world import World, address_of, index_of, name_of
from .defences import NONE, Defences
from .envelopes import Group
from .keys import bytes_of, keys_of, registry_of
from .post import ACCUSATION, CLAIM, PROOF, PROOF_BYTES, Cluster, Post

#: To how many members a proof goes at once, as an agent does it.
PROOF_TOLD = 8


class Path(Protocol):
    """Somebody on the way of datagrams."""

    def passes(self, scene: Scene, sender: int, receiver: int, data: bytes) -> bytes | None:
        """What goes on; None: nothing does."""
        ...


class Hostile:
    """A member that does not do as its core says. This one does."""

    def sends(self, scene: Scene, index: int, packet: Packet) -> Packet | None:
        """What it sends instead; None: nothing."""
        return packet

    def letter(self, scene: Scene, index: int, letter: bytes) -> bytes | None:
        """What it passes on instead of a letter; None: nothing."""
        return letter

    def shows(self, scene: Scene, index: int, states: States, receiver: int) -> States | list[NodeState]:
        """What it shows that member in an exchange."""
        return states

    def sees(self, scene: Scene, asker: int, live: list[Entry]) -> list[Entry]:
        """What it signs as its view, for whoever asks."""
        return live


@dataclass
class Letter:
    """Something that a user said. accepted: by whom, when first. again: how often somebody took it for new again."""

    text: bytes
    by: int
    at: float
    accepted: dict[int, float] = field(default_factory=dict)
    again: list[tuple[int, float]] = field(default_factory=list)


class Scene(World):
    """count: members that are there from the beginning. later: places for more. defences: what all honest ones do.

    sent, sent_bytes: datagrams of all members so far, and what audits ask; exchanges of all that is known are left out.
    """

    def __init__(self, count: int, chance: Chance, *, defences: Defences = NONE, later: int = 0,
                 profile: Profile = LAN, network: Network | None = None) -> None:
        self.defences, self.honest = defences, count
        self.paths: list[Path] = []
        self.hostile: dict[int, Hostile] = {}
        self.hosts = {name_of(index): bytes([10, index // 512, index // 2 % 256, 1 + index % 2])
                      for index in range(count)}
        self.said: dict[bytes, Letter] = {}
        #: Letters that nobody said, and who believes them.
        self.forged: dict[bytes, set[int]] = {}
        self.posts: dict[int, Post] = {}
        #: Told of each letter that a member has now: whose, the letter, by whom; empty: by itself.
        self.told: list[Callable[[int, bytes, str], None]] = []
        #: Told of each thing that a member's guard wants done: whose, what.
        self.acted: list[Callable[[int, object], None]] = []
        self.sent = self.sent_bytes = 0
        drawn = bytes_of(chance)
        keys = keys_of((name_of(index) for index in range(count)), chance) if defences.signatures else {}
        self.cluster = Cluster(defences=defences, group=Group(drawn), keys=keys, registry=registry_of(keys),
                               chance=chance, drawn=drawn, host=lambda name: self.hosts.get(name, bytes(4)))
        super().__init__(count, chance, profile=profile, network=network, later=later,
                         weigh=_weigh_proved if defences.signatures else weigh)
        self.watches.append(self._watch)
        self._introduce()

    # -- members ------------------------------------------------------------------------------------------------------

    def start(self, index: int, roll: Roll | None = None) -> None:
        """Begins a process: with nothing of what an earlier one remembered."""
        super().start(index, roll)
        core = self.places[index].core
        if core is not None:
            self.posts[index] = Post(name=name_of(index), cluster=self.cluster, core=core, began=self.now)

    def burial(self, index: int) -> Burial | None:
        """Its post is asked, where a death takes a certificate."""
        if not self.defences.certificates:
            return None
        return lambda member, live, now, _: self.posts[index].bury(member, live, now)

    def _introduce(self) -> None:
        """Members of a cluster that has been running can prove of each other that they live."""
        for member in self.roll.members:
            for data in self.posts[int(member.node[5:])].vouch(member.alive(), self.now):
                for post in self.posts.values():
                    post.into([data], member.node, self.now)

    def say(self, index: int, text: bytes) -> None:
        """A member's user tells everybody."""
        self.said[text] = letter = Letter(text, index, self.now)
        letter.accepted[index] = self.now
        post = self.posts[index]
        said = post.letters.say(text, self.now)
        post.said(said, self.now)
        self.tell(index, said)
        for told in self.told:
            told(index, said, "")

    def tell(self, index: int, letter: bytes) -> None:
        """Passes a letter on."""
        self.give(index, Spread(User(letter)))

    @property
    def good(self) -> list[int]:
        """Honest members that run."""
        return [index for index in range(self.honest) if index not in self.hostile and self.places[index].core]

    # -- the way ------------------------------------------------------------------------------------------------------

    def carry(self, index: int, receiver: int, packet: Packet) -> None:
        hostile = self.hostile.get(index)
        changed = packet if hostile is None else hostile.sends(self, index, packet)
        if changed is not None:
            self.transmit(index, receiver, self.posts[index].out(changed.messages, self.now))

    def transmit(self, index: int, receiver: int, messages: Sequence[Message]) -> None:
        """Sends these, as they are."""
        for data in self.posts[index].envelopes.wrap(messages) if messages else ():
            self.sent += 1
            self.sent_bytes += len(data)
            on_the_way: bytes | None = data
            for path in self.paths:
                on_the_way = None if on_the_way is None else path.passes(self, index, receiver, on_the_way)
            if on_the_way is not None:
                self.inject(index, receiver, on_the_way)

    def inject(self, source: int, receiver: int, data: bytes) -> None:
        """Bytes on their way, whoever sent them: a datagram's source is what its sender says."""
        way_s = self.network.way_s(source, receiver, self.chance)
        if way_s is not None and self.is_place(receiver):
            self.at(self.now + way_s, lambda: self.arrive(receiver, lambda: self._comes(receiver, source, data)))

    def _comes(self, index: int, source: int, data: bytes) -> None:
        post, peer = self.posts.get(index), name_of(source)
        if post is None or not post.arriving(peer, len(data), self.now):
            return
        messages = post.envelopes.unwrap(data)
        if not messages:
            post.refused += 1
            return
        found = post.into(messages, peer, self.now)
        if found:
            self.give(index, Received(tuple(found), address_of(source)))

    def merge(self, index: int, states: States, peer: int, effect: Exchange) -> None:
        """Where claims are proved an exchange is of proofs; a death in it is an accusation, as ever."""
        core, post, source = self.places[index].core, self.posts[index], name_of(peer)
        hostile = self.hostile.get(peer)
        shown = states if hostile is None else hostile.shows(self, peer, states, index)
        if core is None:
            return
        if post.notary is None and post.guard is None:
            self.give(index, Exchanged(shown, address_of(peer), effect.join))
            return
        found: list[Message] = []
        for state in _differing(shown, core):
            told = [_claim(state, name_of(index))] if post.notary is None else [
                User(CLAIM + proof) for proof in self.posts[peer].about(state.node, self.now)]
            if post.arriving(source, sum(map(self.weigh, told)), self.now):
                found += [_softened(message) for message in post.into(told, source, self.now)]
        if found:
            self.give(index, Received(tuple(found), address_of(peer)))

    # -- the layer above ----------------------------------------------------------------------------------------------

    def _watch(self, now: float, index: int, effect: Effect) -> None:
        if isinstance(effect, Deliver):
            self._delivered(index, effect.message.payload, index_of(effect.source))
        elif isinstance(effect, Judged):
            self._spread(index, effect.acts)
        elif isinstance(effect, Refuted):
            self.posts[index].refuted(effect.incarnation)

    def _delivered(self, index: int, letter: bytes, source: int) -> None:
        post, peer = self.posts[index], name_of(source)
        if letter.startswith(CLAIM):
            return
        if letter.startswith(PROOF):
            self._spread(index, post.proved(letter, peer, self.now))
            return
        if letter.startswith(ACCUSATION):
            burial, death = post.accused(letter, peer, self.now)
            self._spread(index, burial.acts)
            if death is not None:
                self.give(index, Received((death,), address_of(source)))
            return
        text = post.hear(letter, peer, self.now)
        acts, post.acts = post.acts, []
        self._spread(index, acts)
        if text is None:
            return
        self._accepted(index, text)
        for told in self.told:
            told(index, letter, peer)
        hostile = self.hostile.get(index)
        onward = letter if hostile is None else hostile.letter(self, index, letter)
        if onward is not None:
            self.tell(index, onward)

    def _spread(self, index: int, acts: Iterable[object]) -> None:
        for act in acts:
            for acted in self.acted:
                acted(index, act)
            if isinstance(act, Tell) and act.what == "proof":
                self._prove(index, act.data)
            elif isinstance(act, Tell):
                self.tell(index, ACCUSATION + act.data)

    def _prove(self, index: int, data: bytes) -> None:
        """Straight to some members, each of which tells it once. Nobody proves anything against itself."""
        others = [name for name in self.view(index) if name != name_of(index)]
        for name in sample(others, PROOF_TOLD, self.chance) if index not in self.hostile else ():
            self.transmit(index, int(name[5:]), [User(PROOF + data)])

    def _accepted(self, index: int, text: bytes) -> None:
        letter = self.said.get(text)
        if letter is None:
            self.forged.setdefault(text, set()).add(index)
        elif index in letter.accepted:
            letter.again.append((index, self.now))
        else:
            letter.accepted[index] = self.now


def _differing(states: Iterable[NodeState], core: Core) -> Iterator[NodeState]:
    """What may be news to a member."""
    for state in states:
        held = core.member(state.node)
        if held is None or (held.incarnation, held.state, held.meta) != (state.incarnation, state.state, state.meta):
            yield state


def _claim(state: NodeState, by: str) -> Message:
    """What an exchange says of a member: nobody dies by it."""
    if state.state == State.ALIVE:
        return Alive(state.incarnation, state.node, state.host, state.port, state.meta, state.versions)
    if state.state == State.LEFT:
        return Dead(state.incarnation, state.node, state.node)
    return Suspect(state.incarnation, state.node, by)


def _softened(message: Message) -> Message:
    """A death that comes by an exchange, though it is proved, is one of long ago: an accusation."""
    if isinstance(message, Dead) and not message.graceful:
        return Suspect(message.incarnation, message.node, message.accuser)
    return message


def _weigh_proved(message: Message) -> int:
    """With what proves a claim."""
    return weigh(message) + (PROOF_BYTES if isinstance(message, Alive | Suspect | Dead) else 0)
