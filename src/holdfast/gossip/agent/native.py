# SPDX-License-Identifier: Apache-2.0
"""What a member of a native cluster does besides: it shows who it is, lets others in, and carries out key management.

::

    begin:   invitation or certificate ─▶ who I am
    found:   the first epoch, where nobody is named to join
    enter:   hello ─▶ challenge ─▶ reply ─▶ welcome: the epoch in force, sealed to this node
    later:   ticks, membership, words about keys ─▶ Trust ─▶ kept on disk, sent, made known: in order, by one task

Words about keys go by streams of their own that are not sealed, because who needs them most has no key; each is signed,
and what is secret in it is sealed to one node.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from ..._base.chance import Chance
from ..._base.clock import Clock, WallMs
from ..._base.secret import Secret
from ...errors import BadPacket, ConfigurationError, GossipError, JoinFailed, KeyringSealed, NotTrusted
from ..core.events import Received
from ..messages import Address, Dead, Message, State
from ..native import Native, NativeVoice
from ..native.asides import Aside
from ..native.frames import JOIN, KEYS, Incoming, KeyWord, Knock, Word, stream
from ..native.people import People
from ..signing import Algorithm, Notary, PrivateKey, Registry, Replays, Signer, Verifier
from ..trust import Caller, Credential, Door, Identity, Invitations, Member, Status, Token, Trust, kept, revoke
from ..trust.admission import ADMIT, Anchor, Certificate
from ..trust.handshake import Welcome
from ..trust.policy import (
    Effect,
    Event,
    Expel,
    Found,
    Heard,
    Keep,
    Live,
    Out,
    Refused,
    Rotate,
    Sealed,
    Send,
    Straggling,
    Tick,
    Turned,
)
from ..trust.records import encode
from .counsel import Counsel
from .courier import found, reason, unreachable
from .shell import Shell
from .tasks import Tasks
from .transport import Conversation, Transport
from .voice import Peer

log = logging.getLogger("holdfast")

REFUSE_KEYS: Final = ("this cluster's keys are sealed to each member and never told: change them with rotate(), expel "
                      "a member with revoke()")
#: Words about keys that are being said, at once.
LIMITS: Final = {"keys": 256, "upkeep": 4, "asides": 64}
#: Batches of effects that wait for a slow disk.
QUEUE_MAX: Final = 4096
#: How often a wait looks again, at the latest.
LOOK_S: Final = 0.25
#: How long a first epoch, or one that is sealed to a member who enters, may take.
FIRST_S: Final = 10.0
#: Between two attempts to use an invitation while nobody answers.
AGAIN_S: Final = 0.5


class _Step:
    """Reads one step of a join."""

    def __init__(self, label: bytes) -> None:
        self._incoming = Incoming(label)

    @property
    def wanted(self) -> int:
        return self._incoming.wanted

    def feed(self, data: bytes) -> Message | None:
        said = self._incoming.feed(data)
        if said is not None and said[0] != JOIN:
            raise BadPacket("something else than a step of a join", why="type")
        return None if said is None else Knock(said[1])


async def _heard(talk: Conversation, label: bytes) -> bytes:
    said = await talk.read(_Step(label))
    return said.payload if isinstance(said, Knock) else b""


async def knock(transport: Transport, to: Address, anchor: Anchor, identity: Identity, shows: Credential | Token, *,
                name: str, trust: Trust | None, wall: Callable[[], WallMs], within_s: float) -> tuple[Welcome, Member]:
    """One join: what this node is given, and by whom. Raises OSError, TimeoutError, BadPacket, NotTrusted."""
    caller = Caller(anchor, identity, shows, os.urandom, name=name)
    expelled = trust.revocations if trust is not None else None
    label = anchor.cluster
    async with transport.dial(to, within_s) as talk:
        await talk.write(stream(label, JOIN, caller.hello))
        await talk.write(stream(label, JOIN, caller.challenged(await _heard(talk, label), wall(), expelled)))
        welcome = caller.welcomed(await _heard(talk, label), wall(), expelled)
    if caller.member is None:
        raise NotTrusted("nobody showed who he is", why="challenge")
    return welcome, caller.member


async def invited(native: Native, name: str, join: Sequence[str], transport: Transport, wall: Callable[[], WallMs],
                  *, within_s: float, stream_s: float) -> Credential:
    """The certificate that the invitation is worth, from whoever made it. Raises JoinFailed."""
    token = native.token
    if token is None:
        raise ConfigurationError("there is no invitation to be used")
    ends, tried = asyncio.get_running_loop().time() + within_s, dict[str, str]()
    while True:
        for where in join:
            try:
                for address in await found(where, transport.address, stream_s):
                    welcome, _ = await knock(transport, address, native.anchor, native.identity, token, name=name,
                                             trust=None, wall=wall, within_s=stream_s)
                    return welcome.credential
            except (OSError, TimeoutError, GossipError) as error:
                tried[where] = _why(error)
        if asyncio.get_running_loop().time() + AGAIN_S >= ends:
            raise JoinFailed("the invitation could not be used, name whoever made it with join=: "
                             f"{unreachable(tried) or 'nobody is named'}")
        await asyncio.sleep(AGAIN_S)


def _why(error: Exception) -> str:
    if isinstance(error, BadPacket) and error.why == "short":
        return "it hung up: it does not know what was shown, or has expelled this node, or is of another cluster"
    return reason(error)


class Resident:
    """Of one member. ``begin`` makes it. tell: called with what became of keys and members, once it was carried out."""

    def __init__(self, native: Native, name: str, credential: Credential, transport: Transport, *, clock: Clock,
                 chance: Chance, stream_s: float) -> None:
        self._native, self._name, self._transport = native, name, transport
        self._clock, self._chance, self._stream_s = clock, chance, stream_s
        self._anchor, identity = native.anchor, native.identity
        said = self._anchor.verify(credential.certificate, Certificate)
        if said.name != name:
            raise ConfigurationError(f"the certificate is for {said.name!r}, and this member is called {name!r}")
        self.trust: Final = Trust(self._anchor, identity, credential, os.urandom, policy=native.policy)
        if native.state is not None and native.unlock is not None:
            self.trust.restore(kept.read_state(native.state, native.unlock), clock.wall_ms())
        registry = Registry()
        key = PrivateKey(Algorithm.ED25519, identity.reveal()[:32])
        registry.bind(key.public, name)
        self.people: Final = People(self._anchor, registry, self.trust.revocations)
        verifier = Verifier(native.named, registry, lifetimes=native.lifetimes, admission=self.people.admit,
                            replays=Replays(clock.wall_ms()), timer=time.perf_counter)
        notary = Notary(Signer(key, native.named, os.urandom), verifier)
        self.voice: Final = NativeVoice(native.named, self.trust, notary, self.people, encode(credential),
                                        entropy=os.urandom, wall=clock.wall_ms)
        self._invitations = self._desk(said, credential)
        self.counts: Counter[str] = Counter()
        self.tasks = Tasks(LIMITS)
        self.tell: Callable[[Effect], None] | None = None
        self._queue: asyncio.Queue[list[Effect]] = asyncio.Queue(QUEUE_MAX)
        self._turned = asyncio.Event()
        self._changes = 0
        self._where: dict[str, Address] = {}
        self._live: frozenset[str] = frozenset()
        self._among_others = False
        self._shell: Shell | None = None
        self._counsel: Counsel | None = None
        self._lost: Callable[[GossipError], None] | None = None

    def _desk(self, said: Certificate, credential: Credential) -> Invitations | None:
        native = self._native
        issuer = native.identity.signing in self._anchor.issuers
        if native.redeemed is None or native.unlock is None or not (issuer or ADMIT in said.roles):
            return None
        path, unlock = native.redeemed, native.unlock
        return Invitations(self._anchor, native.identity, None if issuer else credential, entropy=os.urandom,
                           keep=lambda used: kept.write_redeemed(path, used, unlock, os.urandom),
                           kept=kept.read_redeemed(path, unlock))

    # -- life -------------------------------------------------------------------------------------------------------

    @classmethod
    async def begin(cls, native: Native, name: str, join: Sequence[str], transport: Transport, *, clock: Clock,
                    chance: Chance, within_s: float, stream_s: float) -> Resident:
        """Knows who it is from now on. Raises what ``Cluster`` does."""
        credential = native.certificate
        if credential is None:
            credential = await invited(native, name, join, transport, clock.wall_ms, within_s=within_s,
                                       stream_s=stream_s)
            if native.certified is not None:
                native.certified(credential)
        self = cls(native, name, credential, transport, clock=clock, chance=chance, stream_s=stream_s)
        try:
            self.handle(Tick())  # it is a certificate of this node's, and good
            self.tasks.start("upkeep", self._work())
        except BaseException:
            await self.close()
            raise
        return self

    async def found(self) -> None:
        """Begins a cluster, where this member was named nobody to join and has no key of an earlier life. Raises
        ConfigurationError where it may not."""
        if self.epoch:
            return
        try:
            self.handle(Found())
        except NotTrusted as error:
            raise ConfigurationError("nobody is named to join, and a cluster is begun by a member who may change keys: "
                                     f"{error}") from None
        self.handle(Live(frozenset({self.trust.id})))

        def begun() -> bool:
            self.handle(Tick())
            return self.trust.epochs.current is not None

        await self._until(begun, FIRST_S, look_s=0.02)

    def start(self, shell: Shell, lost: Callable[[GossipError], None]) -> None:
        """It is a member from now on. lost: called when it may not go on."""
        shell.counts.update(self.counts)
        self._shell, self._lost, self.counts = shell, lost, shell.counts
        self.voice.counts = shell.counts
        if shell.guarding is not None:
            self._counsel = Counsel(shell.guarding, shell, self.voice, self._transport, self.tasks, clock=self._clock,
                                    chance=self._chance, stream_s=self._stream_s)
        self.tasks.start("upkeep", self._upkeep())

    async def close(self) -> None:
        """Stops at once."""
        await self.tasks.close()

    async def _upkeep(self) -> None:
        while True:
            await asyncio.sleep(self._native.policy.retry_s / 4)
            self.tick()

    def tick(self) -> None:
        """Time has passed."""
        shell = self._shell
        if shell is not None:
            there = (self.people.id_of(member.node) for member in shell.core.members
                     if member.state in (State.ALIVE, State.SUSPECT))
            live = frozenset(node for node in there if node is not None) | {self.trust.id}
            self._among_others |= len(live) > 1  # until then it is who let this member in
            if live != self._live and self._among_others:
                self._live = live
                self.handle(Live(live))
        self.handle(Sealed(self.voice.sealer.sealed))
        self.handle(Tick())
        self.drain()

    # -- what happens -----------------------------------------------------------------------------------------------

    def handle(self, event: Event) -> None:
        """Something for key management. Raises NotTrusted, ConfigurationError for what may not be asked here."""
        self._did(self.trust.handle(event, self._clock.now(), self._clock.wall_ms(), self._chance))

    def _did(self, effects: list[Effect]) -> None:
        if effects:
            self._changes += any(isinstance(effect, Keep) for effect in effects)
            try:
                self._queue.put_nowait(effects)
            except asyncio.QueueFull:
                self.counts["key_effects_dropped"] += 1  # they may get lost: what matters is said again

    def drain(self) -> None:
        """What came to light while packets were read: who showed a certificate, what is to be asked and answered."""
        voice = self.voice
        if self._counsel is not None:
            self._counsel.compare()
        for waiting in (self.people.happened, voice.happened):
            while waiting:
                self.handle(waiting.popleft())
        while voice.outbox:
            address, data = voice.outbox.popleft()
            self._transport.send(data, address)
        while voice.blamed:
            blame = voice.blamed.popleft()
            if self._shell is not None and isinstance(blame.peer, Peer):
                self._shell.blamed(blame.peer.address, blame.reason)
        while voice.released:
            message, source = voice.released.popleft()
            shell = self._shell
            if shell is not None:
                found = (message,) if shell.guarding is None else tuple(shell.guarding.gated((message,), shell.core))
                shell.handle(Received(found, source))

    async def serve(self, talk: Conversation, shell: Shell) -> None:
        """One stream that somebody opened."""
        try:
            message = await talk.read(self.voice.reader(shell.peer(talk.source)))
            if isinstance(message, Knock):
                await self._opened(message.payload, talk)
            elif isinstance(message, KeyWord):
                word = message.word()
                self.handle(Heard(word.peer, word.data))
            elif isinstance(message, Aside):
                if self._counsel is not None:
                    await self._counsel.serve(message, talk)
            else:
                await shell.courier.answer(message, talk)
        except BadPacket as error:
            self.counts[f"streams_refused_{error.why}"] += 1
            shell.bad(talk.source, error.why)
        except GossipError:
            self.counts["streams_unanswered"] += 1  # it has no key to answer with
        finally:
            self.drain()

    # -- joins ------------------------------------------------------------------------------------------------------

    async def _opened(self, hello: bytes, talk: Conversation) -> None:
        """Somebody knocks. Who shows nothing that counts is not answered."""
        trust, label = self.trust, self._anchor.cluster
        if trust.epochs.current is None:
            return
        door = Door(self._anchor, self._native.identity, trust.book.credential, os.urandom,
                    invitations=self._invitations, from_epoch=trust.from_epoch())
        try:
            await talk.write(stream(label, JOIN, door.called(hello)))
            member = door.replied(await _heard(talk, label), self._clock.wall_ms(), trust.revocations)
            self.people.enter(member)
            await talk.write(stream(label, JOIN, door.welcome(trust.greeting(member))))
        except (BadPacket, NotTrusted) as error:
            self.counts[f"joins_refused_{error.why}"] += 1
            log.warning("gossip: somebody at %s was not let in: %s", talk.source, error)
        else:
            self.counts["joins_welcomed"] += 1

    async def enter(self, address: Address) -> str:
        """Shows there who this member is, and takes the epoch in force; why not, or empty."""
        try:
            welcome, door = await knock(self._transport, address, self._anchor, self._native.identity,
                                        self.trust.book.credential, name=self._name, trust=self.trust,
                                        wall=self._clock.wall_ms, within_s=self._stream_s)
            self.people.enter(door)
            self._where[door.id] = address
            if not self._live:
                self._live = frozenset({self.trust.id, door.id})
                self.handle(Live(self._live))
            self._did(self.trust.entered(welcome, door, self._clock.now(), self._clock.wall_ms(), self._chance))
            await self._until(lambda: self.trust.epochs.current is not None, FIRST_S)
        except (OSError, TimeoutError, GossipError) as error:
            return _why(error)
        return ""

    def invite(self, name: str, for_s: float) -> Secret[str]:
        """A token for one node. Raises ConfigurationError where this member makes none."""
        if self._invitations is None:
            raise ConfigurationError("this member makes no invitations: it needs the role 'admit', and redeemed= to "
                                     "write down which were used")
        return self._invitations.make(WallMs(self._clock.wall_ms() + int(for_s * 1000)), name)

    # -- keys -------------------------------------------------------------------------------------------------------

    @property
    def epoch(self) -> int:
        """The number of the one that seals; 0: none yet."""
        current = self.trust.epochs.current
        return current.number if current else 0

    async def rotate(self, within_s: float) -> int:
        """The key is changed; the number of the new epoch, with which this member seals by now."""
        self.tick()  # who came this very moment is among those who are waited for
        before = self.epoch
        self.handle(Rotate())
        await self._changed(lambda: self.epoch > before, within_s)
        return self.epoch

    async def revoke(self, name: str, why: str, within_s: float) -> int:
        """A member is expelled, and the key changed, which it does not get; the number of that epoch."""
        node = self.people.id_of(name)
        if node is None:
            raise GossipError(f"there is no member {name!r} whose certificate is known")
        if name == self._name:
            raise ConfigurationError("a member does not expel itself: it leaves")
        native = self._native
        issuer = native.identity.signing in self._anchor.issuers
        self.tick()
        self.handle(Expel(revoke(native.identity, None if issuer else self.trust.book.credential,
                                 self._anchor.cluster, node=node, reason=why, at_ms=self._clock.wall_ms())))
        await self._changed(self._covered, within_s)
        return self.epoch

    def _covered(self) -> bool:
        current = self.trust.epochs.current
        return current is not None and current.record.covers == self.trust.revocations.digest.root

    async def _changed(self, done: Callable[[], bool], within_s: float) -> None:
        try:
            await self._until(done, within_s)
        except TimeoutError:
            status = self.status()
            waiting = sorted(self.people.name_of(node) or node for node in status.waiting)
            why = (f"{', '.join(waiting)} did not answer" if waiting else
                   "older keys still open for those who are late, after the change before it" if status.leads else
                   "no member with the role 'rotate' has begun")
            raise GossipError(f"the key was not changed within {within_s:g} s and still will be: {why}") from None

    async def _until(self, done: Callable[[], bool], within_s: float, look_s: float = LOOK_S) -> None:
        async with asyncio.timeout(within_s):
            while not done():
                self._turned.clear()
                try:
                    async with asyncio.timeout(look_s):
                        await self._turned.wait()
                except TimeoutError:
                    continue

    def status(self) -> Status:
        """How things stand with the keys."""
        return self.trust.inspect()

    # -- what key management wants ----------------------------------------------------------------------------------

    async def _work(self) -> None:
        """One task does it, in order: what is on disk is told afterwards."""
        while True:
            effects = await self._queue.get()
            try:
                for effect in effects:
                    await self._do(effect)
            except (OSError, KeyringSealed, ConfigurationError) as error:  # guard: on disk first. Nothing follows
                self.counts["key_state_unkept"] += 1
                log.warning("gossip: what this member knows of keys cannot be kept, and is told to nobody: %s", error)

    async def _do(self, effect: Effect) -> None:
        if isinstance(effect, Keep):
            await self._keep()
        elif isinstance(effect, Send):
            self.tasks.start("keys", self._said(effect))
        elif isinstance(effect, Turned):
            self.counts[f"epochs_{effect.what}"] += 1
            if effect.what == "retired":
                self.voice.forget(effect.epoch)
            self._turned.set()
        elif isinstance(effect, Out):
            self._out(effect)
        elif isinstance(effect, Refused):
            self.counts[f"keys_refused_{effect.why}"] += 1
        elif isinstance(effect, Straggling):
            self.counts["keys_straggling"] += 1
        if self.tell is not None:
            self.tell(effect)

    async def _keep(self) -> None:
        path, unlock, changed = self._native.state, self._native.unlock, self._changes
        if path is not None and unlock is not None:
            await asyncio.to_thread(kept.write_state, path, self.trust.state(), unlock, os.urandom)
        if self._changes == changed:  # guard: what changed while it was written is not on disk yet
            self.trust.kept()

    async def _said(self, send: Send) -> None:
        address = self._address(send.to)
        if address is None:
            self.counts["key_words_unsent"] += 1
            return
        word = msgspec.msgpack.encode(Word(self.trust.id, send.data))
        try:
            async with self._transport.dial(address, self._stream_s) as talk:
                await talk.write(stream(self._anchor.cluster, KEYS, word))
            self.counts["key_words"] += 1
        except (OSError, TimeoutError, GossipError):
            self.counts["key_words_unsent"] += 1  # it is said again, or asked for

    def _address(self, node: str) -> Address | None:
        name = self.people.name_of(node)
        member = self._shell.core.member(name) if self._shell is not None and name is not None else None
        return member.address if member is not None else self._where.get(node)

    def _out(self, effect: Out) -> None:
        """Who was expelled is dead to this member, and says so in its own name."""
        shell = self._shell
        if self.trust.revocations.names(self.trust.id, b"") and self._lost is not None:
            self._lost(NotTrusted("this member was expelled from its cluster: it needs a new identity, and an issuer "
                                  "who certifies it", why="revoked"))
            return
        for name in self.people.expelled():
            member = shell.core.member(name) if shell is not None else None
            if shell is not None and member is not None and not member.gone:
                shell.handle(Received((Dead(member.incarnation, name, self._name),), shell.own_address))
        log.warning("gossip: a member was expelled: %s (%s)", effect.node or effect.serial.hex(), effect.reason)
