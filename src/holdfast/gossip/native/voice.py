# SPDX-License-Identifier: Apache-2.0
"""How members with identities speak: each packet sealed and counted, each claim and each letter with its proof.

::

    label │ epoch, key id, sender, boot, counter │ sealed ( pings and acks │ what others signed, byte for byte )

Whoever holds the group's key may seal, and may ping and answer in anybody's name; nothing that lasts follows from that.
What a member says of members, and what it tells everybody, is signed by it and verified before it is kept or passed on;
who passes it on signs nothing. What cannot be proved is not sent, and not taken.

What is refused is counted by the shell under these names: label (another cluster's), epoch (of one that is over), key
(of an epoch that is not held, or changed on its way), replay, revoked, unsigned, and ``signing.Reason``'s.

A lock holds it together: long streams are read and written in threads, and two that seal at once would count alike.
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from ..._base.clock import WallMs
from ...errors import BadPacket, ConfigurationError, GossipError, NotTrusted
from ..messages import Ack, Address, Alive, Dead, Err, IndirectPing, Message, Nack, Ping, PushPull, Suspect, User
from ..signing import (
    Accepted,
    AskForKey,
    Blame,
    Claim,
    Duplicate,
    Envelope,
    Kind,
    Notary,
    Quarantined,
    Reason,
    Rejected,
    Told,
)
from ..signing import envelope as envelopes
from ..signing.claims import TOPICS
from ..trust.epochs import Epoch
from ..trust.machine import Trust
from ..trust.packets import Opener, Sealer, key_id, peek
from ..trust.policy import Event, Unreadable
from ..wire import Unwrapped
from ..wire import label as labels
from ..wire.codec import decode, encode
from . import asides, exchange, frames
from .asides import Aside
from .evidence import Evidence
from .frames import Incoming, KeyWord, Knock, Part
from .letters import Letters
from .people import People
from .verdicts import Accused, Solicited

if TYPE_CHECKING:
    from ..agent.voice import Peer

#: What is said besides, and waits for whoever carries it: answers to who asks for a key, and questions.
OUTBOX_MAX: Final = 1024
#: Who says that it enters and was not answered yet.
ENTERING_MAX: Final = 1024
#: Letters that wait for whoever compares what members say: all that one exchange brings.
WITNESSED_MAX: Final = 4096
#: Messages that need no proof: they say nothing of anybody.
_OPEN: Final = (Ping, IndirectPing, Ack, Nack)
_KEY_ID: Final = 32
#: What no member passes on, since it verified what it keeps: whoever tells it made it, or is broken.
_FORGED: Final = frozenset((Reason.MALFORMED, Reason.CLUSTER, Reason.SIGNATURE))


class NativeVoice:
    """label: the cluster's, and not empty: packets without one would be taken by any cluster's members.

    proof: what shows that this member may enter; its own certificate, for those who do not know its key. wall: the
    time of day. entropy: ``os.urandom``. Raises ConfigurationError.
    """

    def __init__(self, label: str, trust: Trust, notary: Notary, people: People, proof: bytes, *,
                 entropy: Callable[[int], bytes], wall: Callable[[], WallMs]) -> None:
        self._label: Final = labels.checked(label)
        if not self._label:  # guard: a label always
            raise ConfigurationError("a native cluster has a label, which keeps it apart from others: give one")
        self._trust, self._notary, self._people, self._proof = trust, notary, people, proof
        self._wall = wall
        self.verifier: Final = notary.verifier
        self.letters: Final = Letters(notary)
        self.sealer: Final = Sealer(self._label, trust.id, entropy)
        self._opener = Opener(self._label, refused=trust.refuses)  # guard: packets of the revoked
        self._lock = threading.RLock()
        self._entering: deque[Address] = deque(maxlen=ENTERING_MAX)
        #: For key management: packets that could not be read. People whose certificates were seen are in ``people``.
        self.happened: deque[Event] = deque(maxlen=64)
        #: Datagrams to be sent, sealed, and what came to light outside of any packet.
        self.outbox: deque[tuple[Address, bytes]] = deque(maxlen=OUTBOX_MAX)
        self.released: deque[tuple[Message, Address]] = deque(maxlen=OUTBOX_MAX)
        #: What was sent and refused, by what it was.
        self.counts: Counter[str] = Counter()
        #: Whom something bad is held against, for whoever keeps scores.
        self.blamed: deque[Blame] = deque(maxlen=OUTBOX_MAX)
        self.evidence: Final = Evidence(notary)
        #: Letters whose signatures hold, new or not, for whoever looks for two under one number; None: nobody does.
        self.witnessed: deque[tuple[Envelope, bytes]] | None = None
        #: Is nothing taken that this member says? Asked in threads too.
        self.silenced: Callable[[str], bool] = lambda _: False

    # -- out

    def weigh(self, message: Message) -> int:
        with self._lock:
            part = self._part(message)
        return 1 + len(part.data) if part is not None else 1

    def packets(self, messages: Sequence[Message], to: Peer) -> list[bytes]:
        with self._lock:
            parts = [part for part in map(self._part, messages) if part is not None]
            epoch = self._trust.epochs.current
            if epoch is None or not parts:
                self.counts["packets_unsaid"] += 1
                return []
            return [self._sealed(epoch, frames.joined(parts))]

    def stream(self, message: Message, to: Peer) -> bytes:
        """Raises GossipError while this member has no key yet."""
        with self._lock:
            epoch = self._trust.epochs.current
            if epoch is None:
                raise GossipError("this member has no key of its cluster yet")
            if isinstance(message, PushPull):
                inner = bytes([frames.EXCHANGE]) + self._exchange(message, to)
            else:
                part = Part(frames.PLAIN, encode(message)) if isinstance(message, Err) else self._part(message)
                if part is None:
                    raise GossipError("what cannot be proved is not sent")
                inner = bytes([frames.ALONE, part.kind]) + part.data
            return frames.stream(self._label, frames.SEALED, self.sealer.seal(epoch, inner))

    def say(self, payload: bytes) -> None:
        """This member tells everybody, in its own name."""
        with self._lock:
            self.letters.say(payload, self._wall())

    def open_stream(self, kind: int, body: bytes) -> bytes:
        """A stream that is not sealed: about keys, or a step of a join."""
        return frames.stream(self._label, kind, body)

    def aside(self, word: asides.Word) -> bytes:
        """A stream between defences. Raises GossipError while this member has no key yet."""
        with self._lock:
            epoch = self._trust.epochs.current
            if epoch is None:
                raise GossipError("this member has no key of its cluster yet")
            inner = bytes([frames.ASIDE]) + asides.encode(word)
            return frames.stream(self._label, frames.SEALED, self.sealer.seal(epoch, inner))

    def _sealed(self, epoch: Epoch, inner: bytes) -> bytes:
        return labels.put(self._label, self.sealer.seal(epoch, inner))

    def _part(self, message: Message) -> Part | None:
        if isinstance(message, _OPEN):
            return Part(frames.PLAIN, encode(message))
        if isinstance(message, Accused | Solicited):
            return Part(frames.ACCUSED if isinstance(message, Accused) else frames.SOLICITED, message.payload)
        data = None
        if isinstance(message, Alive | Suspect | Dead):
            data = self._notary.proof_of(message, self._wall())
        elif isinstance(message, User):
            data = self.letters.proof_of(message.payload, self._wall())
        if data is None:  # guard: what cannot be proved is not sent
            self.counts["messages_unproved"] += 1
            return None
        return Part(frames.SIGNED, data)

    def _exchange(self, told: PushPull, to: Peer) -> bytes:
        now, notary = self._wall(), self._notary
        signed = [notary.signer.announce(self._proof, now)]
        everybody = told.join or to.address in self._entering
        if to.address in self._entering:
            self._entering.remove(to.address)
        for state in told.states:
            if state.node == notary.name:
                notary.sign(Alive(state.incarnation, state.node, state.host, state.port, state.meta, state.versions),
                            now)
            elif everybody:  # who enters knows nobody's key
                signer = notary.verifier.registry.node_of(state.node)
                shown = None if signer is None else notary.verifier.announcement(signer, now)
                signed += [shown] if shown else []
        for state in told.states:
            signed += notary.proofs_about(state.node, now)
        signed += self.letters.recent(now)
        return exchange.encode(told.join, told.user_state, signed)

    # -- in

    def heard(self, data: bytes, source: Peer) -> Unwrapped:
        with self._lock:
            opened = self._opened(labels.take(self._label, data))
            found: list[Message] = []
            refused: list[BadPacket] = []
            for part in frames.split(opened):
                try:
                    found += self._took(part, source)
                except BadPacket as error:
                    refused.append(error)
            return Unwrapped(found, refused)

    def reader(self, source: Peer) -> NativeReader:
        return NativeReader(self, self._label, source)

    def read(self, kind: int, body: bytes, source: Peer) -> Message:
        """What a stream says that is there as a whole. Raises BadPacket."""
        if kind == frames.KEYS:
            return KeyWord(body)
        if kind == frames.JOIN:
            return Knock(body)
        with self._lock:
            inner = self._opened(body)
            if inner[:1] == bytes([frames.EXCHANGE]):
                return self._exchanged(exchange.decode(inner[1:]), source)
            if inner[:1] == bytes([frames.ASIDE]):
                return Aside(inner[1:])
            if inner[:1] == bytes([frames.ALONE]) and len(inner) > 1:
                if inner[1] == frames.PLAIN and inner[2:3] == b"\x0d":
                    return decode(inner[2:])  # an error, which streams alone bring
                found = self._took(Part(inner[1], inner[2:]), source)
                if len(found) == 1:
                    return found[0]
        raise BadPacket("a sealed stream that holds no message", why="type")

    def forget(self, epoch: Epoch) -> None:
        """It was retired."""
        with self._lock:
            self._opener.forget(epoch)

    def release(self, signer: bytes) -> None:
        """A key became known: what waited for it is heard now."""
        with self._lock:
            for peer, told in self._notary.release(signer, self._wall()):
                if isinstance(peer, tuple):
                    with contextlib.suppress(BadPacket):  # it was counted, and the others are none the worse for it
                        self.released.extend((each, peer[0]) for each in self._told(told))

    def _opened(self, body: bytes) -> bytes:
        try:
            return self._opener.open(self._trust.epochs, body).data
        except NotTrusted as error:
            raise BadPacket(str(error), why=error.why) from None
        except BadPacket as error:
            if error.why == "key":
                header = peek(body)
                if any(each.number == header.epoch and each.hash[:len(header.key_id)] == header.key_id
                       for each in self._trust.epochs.all_over):  # guard: epochs that are over
                    raise BadPacket(f"sealed in epoch {header.epoch}, which is over", why="epoch") from None
                if not any(key_id(each) == header.key_id for each in self._trust.epochs):
                    self.happened.append(Unreadable(header.sender))
            raise

    def _took(self, part: Part, source: Peer) -> list[Message]:
        if part.kind == frames.PLAIN:
            return [self._plain(decode(part.data), source)]
        if part.kind == frames.ASK:
            self._asked(part.data, source)
            return []
        if part.kind in (frames.ACCUSED, frames.SOLICITED):
            return [(Accused if part.kind == frames.ACCUSED else Solicited)(part.data)]
        if part.kind != frames.SIGNED:
            raise BadPacket(f"a part of kind {part.kind}, which nobody knows", why="type")
        return self._told(self._notary.accept(part.data, source, self._wall()))

    def _plain(self, message: Message, source: Peer) -> Message:
        if isinstance(message, _OPEN):
            return message
        topic = TOPICS.get(type(message), "")  # type: ignore[arg-type]
        kind = Kind.CLAIM if topic else Kind.USER
        self._notary.verifier.unsigned(kind, topic, source)  # counts it
        raise BadPacket("it has to be signed, and is not", why="unsigned")  # guard: nothing is taken without a proof

    def _told(self, told: Told) -> list[Message]:
        """What a signed message comes to. Raises BadPacket for one that was refused."""
        for effect in told.verdict.effects:
            if isinstance(effect, AskForKey):
                self._ask(effect)
            else:
                self.counts[f"blamed_{effect.reason}"] += 1
                self.blamed.append(effect)
        result = told.verdict.result
        if isinstance(result, Accepted | Duplicate) and result.envelope.kind is Kind.USER:
            self._witness(result)
        if isinstance(result, Rejected):
            raise BadPacket(f"a signed message was refused: {result.reason} {result.detail}", why=result.reason)
        if told.claim is not None:
            return [told.claim]
        if isinstance(result, Quarantined):
            self.counts["quarantined"] += 1
        elif isinstance(result, Accepted):
            if result.envelope.kind is Kind.USER:
                return [User(self.letters.heard(result.envelope, result.data))]
            self.release(result.envelope.key_id)
        return []

    def _witness(self, result: Accepted | Duplicate) -> None:
        if self.silenced(self._notary.verifier.registry.name_of(result.envelope.origin) or ""):
            # guard: letters of who was convicted
            raise BadPacket("a letter of a member that signed two under one number", why="convicted")
        if self.witnessed is not None and result.data not in self.letters:
            self.witnessed.append((result.envelope, result.data))

    def shown(self, data: bytes) -> bytes:
        """The message that shows the key which signed this; empty: there is none that is young."""
        with self._lock:
            now, signer = self._wall(), self._notary.signer
            try:
                wanted = envelopes.decode(data).key_id
            except BadPacket:
                return b""
            if wanted == signer.key_id:
                return signer.announce(self._proof, now)
            return self._notary.verifier.announcement(wanted, now) or b""

    def taken(self, signed: Sequence[bytes], source: Peer) -> tuple[Message, ...]:
        """What was asked for: letters, and keys that are shown. Letters that are new, for the core."""
        with self._lock:
            told = exchange.Exchange(False, (), tuple(signed))
            return tuple(each for each in self._exchanged(told, source).more if isinstance(each, User))

    def _ask(self, effect: AskForKey) -> None:
        epoch, peer = self._trust.epochs.current, effect.peer
        if epoch is not None and isinstance(peer, tuple):
            self.outbox.append((peer[0], self._sealed(epoch, frames.joined([Part(frames.ASK, effect.key_id)]))))

    def _asked(self, wanted: bytes, source: Peer) -> None:
        epoch, now = self._trust.epochs.current, self._wall()
        own = wanted == self._notary.signer.key_id
        shown = (self._notary.signer.announce(self._proof, now) if own
                 else self._notary.verifier.announcement(wanted, now) if len(wanted) == _KEY_ID else None)
        if shown is not None and epoch is not None:
            self.outbox.append((source.address, self._sealed(epoch, frames.joined([Part(frames.SIGNED, shown)]))))

    def _exchanged(self, told: exchange.Exchange, source: Peer) -> exchange.Proved:
        claims: list[Claim] = []
        letters: list[Message] = []
        forged = 0
        for data in dict.fromkeys(told.signed):  # guard: what is told twice is read once
            if data in self.letters:
                continue
            try:
                found = self._told(self._notary.accept(data, source, self._wall()))
            except BadPacket as error:
                self.counts[f"exchanged_refused_{error.why}"] += 1
                forged += error.why in _FORGED
                if forged >= exchange.FORGED_MAX:  # guard: forgeries of one exchange
                    raise BadPacket(f"an exchange with {forged} messages that nobody signed", why="value") from None
                continue
            for each in found:
                if isinstance(each, Alive | Suspect | Dead):
                    claims.append(each)
                else:
                    letters.append(each)
        if told.join:
            self._entering.append(source.address)
        return exchange.proved(told, claims, letters)


class NativeReader:
    """One direction of one stream."""

    def __init__(self, voice: NativeVoice, label: bytes, source: Peer) -> None:
        self._voice, self._source, self._incoming = voice, source, Incoming(label)

    @property
    def wanted(self) -> int:
        return self._incoming.wanted

    def feed(self, data: bytes) -> Message | None:
        found = self._incoming.feed(data)
        return None if found is None else self._voice.read(*found, self._source)
