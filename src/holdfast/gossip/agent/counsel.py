# SPDX-License-Identifier: Apache-2.0
"""What the defences of a native cluster's members tell each other, carried out over streams.

::

    letter ─▶ compare ─▶ two under one number ─▶ proof ─▶ FANOUT members, and so on: each tells it once
    each 15 s, one member: look ─▶ its signed view ─▶ it stays different: fetch ─▶ who sees whom
    each 10 s, one member: audit ─▶ what it heard and this one did not: pull ─▶ as if it came by gossip

A proof that got lost, or was told before a member came, is pulled with an audit.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from ..._base.chance import Chance
from ..._base.clock import Clock, WallMs
from ...errors import BadPacket, GossipError
from ..core.events import Received
from ..defence import equivocation, views
from ..defence.acts import Act, AuditWith, CompareWith, Tell
from ..defence.drawing import sample
from ..defence.equivocation import first_of
from ..defence.views import Entry
from ..messages import Address, State
from ..native import NativeVoice, asides
from ..native.asides import Aside, Audit, Digest, Entries, Fetch, Gave, Look, Proof, Pull, View, Word
from ..native.voice import WITNESSED_MAX
from ..serf.messages import UserEvent
from ..signing import decode
from ..wire import serf as wire
from .guarding import Guarding, event_id
from .shell import Shell
from .tasks import Tasks
from .transport import Conversation, Transport

W = TypeVar("W", bound=Word)

#: To how many members a proof goes at once: with 8 of each, one in 3,000 hears of it by an audit only.
FANOUT: Final = 8
#: How long a view, or a list of letters, that was made is told again: one takes 3 µs for each member, or letter, and
#: anybody may ask.
VIEW_S: Final = 1.0
#: Members whose view was another one that are looked at again besides one at random.
AGAIN: Final = 2


class Counsel:
    """Of one member."""

    def __init__(self, guarding: Guarding, shell: Shell, voice: NativeVoice, transport: Transport, tasks: Tasks, *,
                 clock: Clock, chance: Chance, stream_s: float) -> None:
        self._guarding, self._shell, self._voice, self._transport = guarding, shell, voice, transport
        self._tasks, self._clock, self._chance, self._stream_s = tasks, clock, chance, stream_s
        self._began: WallMs = clock.wall_ms()
        self._shown: tuple[float, list[Entry], bytes] = (float("-inf"), [], b"")
        self._recent: tuple[float, list[tuple[bytes, tuple[bytes, WallMs]]]] = (float("-inf"), [])
        guarding.evidence, guarding.carry = voice.evidence, self.carry
        voice.silenced = lambda name: name in guarding.silenced
        if guarding.guard.defences.watching is not None:
            voice.witnessed = deque(maxlen=WITNESSED_MAX)

    # -- what is to be done

    def compare(self) -> None:
        """Letters that came since: are there two under one number?"""
        waiting = self._voice.witnessed
        while waiting:
            envelope, data = waiting.popleft()
            said = self._voice.evidence.stated(envelope, data)
            if said is not None:
                self._guarding.stated(said, data)

    def carry(self, act: Act) -> None:
        """What the guard wants."""
        if isinstance(act, Tell) and act.what == "proof":
            self._spread(act.data)
        elif isinstance(act, CompareWith):
            differing = [node for node in self._guarding.guard.differing if node != act.peer]
            for node in (act.peer, *sample(differing, min(AGAIN, len(differing)), self._chance)):
                self._tasks.start("asides", self._aside(node, self._look))
        elif isinstance(act, AuditWith):
            self._tasks.start("asides", self._aside(act.peer, self._audit))

    def _spread(self, data: bytes) -> None:
        others = {member.node: member.address for member in self._shell.core.members
                  if member.state is State.ALIVE and member.node != self._shell.name
                  and not self._guarding.banned(member.node)}
        proof = self._proof(data)
        for node in self._guarding.draw(others)(list(others), FANOUT, self._chance):
            self._tasks.start("asides", self._aside(node, lambda talk, _: talk.write(self._voice.aside(proof))))

    def _proof(self, data: bytes) -> Proof:
        return Proof(data, self._voice.shown(first_of(data)))

    async def _aside(self, node: str, tells: Callable[[Conversation, str], Awaitable[None]]) -> None:
        """One stream to a member. One that does not answer is found out by its pings."""
        member = self._shell.core.member(node)
        if member is None or member.gone or self._guarding.banned(node):
            return
        try:
            async with self._transport.dial(member.address, self._stream_s) as talk:
                await tells(talk, node)
            self._shell.counts["asides"] += 1
        except BadPacket as error:
            self._shell.counts["asides_failed"] += 1
            self._shell.bad(member.address, error.why)
        except (OSError, TimeoutError, GossipError):
            self._shell.counts["asides_failed"] += 1

    async def _heard(self, talk: Conversation, node: str, wanted: type[W]) -> W:
        said = await talk.read(self._voice.reader(self._shell.peer(talk.source, node)))
        word = said.word() if isinstance(said, Aside) else None
        if not isinstance(word, wanted):
            raise BadPacket("another word between defences than was asked for", why="type")
        return word

    # -- what it asks

    async def _look(self, talk: Conversation, node: str) -> None:
        await talk.write(self._voice.aside(Look()))
        view = await self._heard(talk, node, View)
        fetch = self._guarding.viewed(node, view.data, self._live())
        if fetch is not None:
            await talk.write(self._voice.aside(Fetch(fetch.buckets)))
            entries = await self._heard(talk, node, Entries)
            self._guarding.named(fetch, entries.data, [(member.node, member.incarnation, member.since)
                                                       for member in self._shell.core.members if not member.gone])

    async def _audit(self, talk: Conversation, node: str) -> None:
        guard = self._guarding.guard
        await talk.write(self._voice.aside(Audit()))
        digest = await self._heard(talk, node, Digest)
        held = {id_ for id_, _ in self._letters()}
        # What came and is of before this member began, or too old for its layer, was not missed.
        ids = [id_ for id_, time_ms in digest.ids
               if time_ms > self._began and (guard.knows(id_) or id_ not in held)]
        pull = self._guarding.audited(node, ids).pull
        known = {name_id(name) for name in (*guard.convicted, self._shell.name)}
        proofs = [] if guard.defences.watching is None else [one for one in digest.convicted if one not in known]
        if not pull and not proofs:
            return
        await talk.write(self._voice.aside(Pull(pull, tuple(proofs[:asides.PROOFS_MAX]))))
        gave = await self._heard(talk, node, Gave)
        letters = {id_: data for id_, data in ((letter_id(data), data) for data in gave.letters)
                   if id_ is not None and id_ in pull}  # guard: what was not asked for is not taken
        guard.gave(node, letters)
        self._took(tuple(letters.values()), talk.source, node)
        for proof in gave.proofs:
            self._proved(proof, talk.source, node)

    def _took(self, signed: tuple[bytes, ...], source: Address, node: str) -> None:
        messages = self._voice.taken(signed, self._shell.peer(source, node))
        self.compare()
        self._shell.counts["letters_pulled"] += len(messages)
        if messages:
            self._shell.handle(Received(messages, source))

    def _proved(self, proof: Proof, source: Address, node: str) -> None:
        if proof.shown:
            self._took((proof.shown,), source, node)
        self._guarding.proof(node, source[0], proof.data)

    # -- what it is asked

    async def serve(self, message: Aside, talk: Conversation) -> None:
        """One stream that somebody opened. Raises BadPacket."""
        word = message.word()
        node = self._shell.caller(talk.source)
        if isinstance(word, Proof):
            self._proved(word, talk.source, node)
        elif isinstance(word, Look) and self._guarding.guard.defences.comparing is not None:
            live, data = self._view()
            await talk.write(self._voice.aside(View(data)))
            fetch = await self._further(talk, node, Fetch)
            if fetch is not None:  # guard: of the view that was shown, and not of a later one
                wanted = set(fetch.buckets)
                entries = [entry for entry in live if views.bucket_of(entry[0]) in wanted]
                await talk.write(self._voice.aside(Entries(views.encode_entries(entries))))
        elif isinstance(word, Audit) and self._guarding.guard.defences.auditing is not None:
            await self._audits(talk, node)
        else:
            self._shell.counts["asides_ignored"] += 1

    async def _audits(self, talk: Conversation, node: str) -> None:
        guard = self._guarding.guard
        letters = {id_: (data, time_ms) for id_, (data, time_ms) in self._letters()}
        ids = [id_ for id_ in guard.digest(self._guarding.now) if id_ in letters]
        against = {name_id(name): equivocation.encode(proof) for name, proof in guard.convicted.items()
                   if name in self._guarding.silenced}  # guard: a ban that was lifted is not handed on
        await talk.write(self._voice.aside(Digest(tuple((id_, letters[id_][1]) for id_ in ids),
                                                  tuple(against)[-asides.NAMES_MAX:])))
        pull = await self._further(talk, node, Pull)
        if pull is not None:
            await talk.write(self._voice.aside(Gave(
                tuple(letters[id_][0] for id_ in pull.ids if id_ in letters),
                tuple(self._proof(against[one]) for one in pull.convicted if one in against))))

    async def _further(self, talk: Conversation, node: str, wanted: type[W]) -> W | None:
        """Who asked may go on, or has heard enough."""
        try:
            return await self._heard(talk, node, wanted)
        except BadPacket as error:
            if error.why == "short":
                return None
            raise

    # -- what there is

    def _live(self) -> list[Entry]:
        return [(member.node, member.incarnation) for member in self._shell.core.members if not member.gone]

    def _view(self) -> tuple[list[Entry], bytes]:
        made, live, data = self._shown
        if self._clock.now() - made >= VIEW_S:
            live = self._live()
            data = self._guarding.view(live)
            self._shown = self._clock.now(), live, data
        return live, data

    def _letters(self) -> list[tuple[bytes, tuple[bytes, WallMs]]]:
        """Events that are young enough to be told, by id, as they were a moment ago."""
        made, found = self._recent
        if self._clock.now() - made < VIEW_S:
            return found
        found = []
        for payload, data, time_ms in self._voice.letters.young(self._clock.wall_ms()):
            message = wire.decode(payload)
            if isinstance(message, UserEvent):
                found.append((event_id(message), (data, time_ms)))
        self._recent = self._clock.now(), found
        return found


def letter_id(data: bytes) -> bytes | None:
    """The id of the event in a letter; None: there is none in it."""
    try:
        message = wire.decode(decode(data).payload)
    except BadPacket:
        return None
    return event_id(message) if isinstance(message, UserEvent) else None


def name_id(name: str) -> bytes:
    """A name as a digest has it."""
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()[:16]
