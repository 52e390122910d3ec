# SPDX-License-Identifier: Apache-2.0
"""Key management of one member: (event, now, time of day, chance) → what to do. No socket, no clock, no disk.

Whoever drives it feeds ``Tick``, what membership says (``Live``), certificates that turn up (``Met``), and messages of
other members (``Heard``); does the effects in order; and seals and opens packets with the keys of ``epochs``. Messages
may be lost, doubled, delayed and changed on their way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..._base.chance import Chance
from ..._base.clock import WallMs
from ...errors import BadPacket, ConfigurationError, NotTrusted
from .admission import ROTATE, Anchor, Credential, Member
from .book import Book
from .epochs import Activation, Announcement, Cancellation, Epochs, Order, Retirement
from .handshake import Welcome
from .identity import Entropy, Identity
from .leading import Leading
from .messages import (
    ACTIVE,
    ENTRIES_AT_ONCE,
    INSTALLED,
    RETIRED,
    Ack,
    Acked,
    Activate,
    Ask,
    Bundle,
    Cancel,
    Have,
    Install,
    KeyMessage,
    Retire,
    Told,
)
from .policy import (
    Effect,
    Event,
    Expel,
    Found,
    Heard,
    Live,
    Met,
    Policy,
    Refused,
    Rotate,
    Sealed,
    Step,
    Tick,
    Unreadable,
)
from .records import Record, decode, encode
from .revocations import Revocations
from .sharing import Sharing, installed
from .state import freeze, thaw

_ORDERS: Final[dict[type[Record], type[Order]]] = {Activate: Activation, Retire: Retirement, Cancel: Cancellation}


@dataclass(frozen=True)
class Status:
    """For people and metrics.

    age_s: of the epoch in force. held: epochs whose keys open. sealed: under the present key, by members who told.
    waiting: who has not done the step of a rotation that is led here, and since when he was asked.
    """

    id: str
    epoch: int
    epoch_id: str
    age_s: float | None
    heads: int
    held: int
    sealed: int
    revocations: int
    leads: bool
    step: Step | None
    wanted: str
    waiting: dict[str, float]


class Trust:
    """identity, credential: this member's. entropy: ``os.urandom``: keys are drawn from it, and never from chance.

    Raises NotTrusted, at the first event, when the credential is not this identity's.
    """

    def __init__(self, anchor: Anchor, identity: Identity, credential: Credential, entropy: Entropy, *,
                 policy: Policy | None = None) -> None:
        self.book: Final = Book(anchor, identity, credential, entropy, policy=policy or Policy())
        self._sharing = Sharing(self.book)
        self._leading = Leading(self.book)

    @property
    def id(self) -> str:
        """This node's id."""
        return self.book.id

    @property
    def epochs(self) -> Epochs:
        """What opens, and ``current``, which seals."""
        return self.book.epochs

    @property
    def revocations(self) -> Revocations:
        """Who was expelled."""
        return self.book.revocations

    def refuses(self, sender: bytes) -> bool:
        """For ``Opener``: was he revoked, or is his certificate over? sender: eight bytes of an id."""
        known = self.book.short.get(sender)
        return self.book.revocations.sends(sender) or (known is not None and self.book.member(known) is None)

    def handle(self, event: Event, now: float, wall_ms: WallMs, chance: Chance) -> list[Effect]:
        """What happens because of it. now: seconds that do not go back; wall_ms: since 1970, for certificates.

        Raises ConfigurationError, NotTrusted for what the caller himself may not ask (Found, Expel); never because of
        what somebody else sent.
        """
        book = self.book
        book.begin(now, wall_ms, chance)
        if book.id not in book.members:
            book.enrol()
        if isinstance(event, Heard):
            self._heard(event)
        elif isinstance(event, Tick):
            self._sharing.tick()
            try:
                self._leading.tick()
            except NotTrusted as error:
                book.out.append(Refused("", error.why, str(error)))
        elif isinstance(event, Live):
            book.live = event.nodes
        elif isinstance(event, Unreadable):
            self._sharing.unreadable(event.sender)
        elif isinstance(event, Sealed):
            book.sealed[book.id] = event.count
        elif isinstance(event, Met):
            self._met(event)
        else:
            self._asked_here(event)
        return book.out

    def _asked_here(self, event: Found | Rotate | Expel) -> None:
        book = self.book
        if isinstance(event, Expel):
            self._sharing.expel(event.entry)
            return
        if not book.may_rotate:
            raise NotTrusted("this member lacks the role 'rotate': ask one who has it", why="role")
        if isinstance(event, Found):
            if book.epochs.current is not None or book.epochs.pending:
                raise ConfigurationError("the cluster has its first epoch already")
            self._leading.begin("first")
        else:
            self._leading.wanted = "manual"

    def _met(self, event: Met) -> None:
        try:
            self.book.learn(event.credential)
        except (NotTrusted, BadPacket) as error:
            self.book.out.append(Refused("", error.why, str(error)))

    # -- what others say

    def _heard(self, event: Heard) -> None:
        try:
            self._take(event.peer, decode(event.data, KeyMessage))
        except (NotTrusted, BadPacket) as error:
            self.book.out.append(Refused(event.peer, error.why, str(error)))

    def _take(self, peer: str, message: KeyMessage) -> None:
        if isinstance(message, Install):
            self._install(peer, message)
        elif isinstance(message, Activate | Retire | Cancel):
            self._ordered(peer, message)
        elif isinstance(message, Acked):
            said, member = self.book.anchor.said(message.said, Ack, self.book.wall_ms, expelled=self.book.revocations)
            if member is not None:
                self._leading.acked(member.id, said.epoch, said.step)
        elif isinstance(message, Ask):
            self._sharing.asked(message)
        elif isinstance(message, Told):
            self._sharing.told(message)
        elif isinstance(message, Have):
            self._sharing.have(message, peer)
        else:
            self._sharing.entries(message.entries, peer)

    def _install(self, peer: str, message: Install) -> None:
        book, epoch = self.book, message.said.hash
        record, author = book.anchor.said(message.said, Announcement, book.wall_ms, role=ROTATE,
                                          expelled=book.revocations)
        held = book.epochs.get(epoch)
        if held is not None:
            book.heard_at[epoch] = book.now
            book.ack(peer, epoch, ACTIVE if held.active else INSTALLED)
            return
        lead = self._leading.lead
        if lead is not None and lead.step == "install" and lead.epoch != epoch:
            own = book.epochs.get(lead.epoch)
            if own is not None and own.rank > (record.number, bytes(255 - byte for byte in epoch)):
                return  # ours goes on; he who leads the other gives way when he hears of it
        try:
            book.epochs.check_next(record, epoch)
        except NotTrusted:
            current = book.epochs.current
            if not book.epochs.over(epoch) and (current is None or record.number > current.number):
                self._sharing.ask(peer)  # we slept
            raise
        if record.made_ms > book.wall_ms + book.anchor.skew_ms:
            raise NotTrusted("an epoch of a time to come: set the clocks", why="period")
        if record.covers != book.revocations.digest.root:  # guard: one list before the next key
            self._sharing.ask(peer)  # one of us has not heard of somebody who was revoked
            return
        installed(book, message.said, record, message.box, author.id if author else "")
        if lead is not None and lead.step == "install":
            self._leading.cancel(lead, wait=False)
        book.heard_at[epoch] = book.now
        book.ack(peer, epoch, INSTALLED)

    def _ordered(self, peer: str, message: Activate | Retire | Cancel) -> None:
        book = self.book
        kind: type[Order] = _ORDERS[type(message)]
        said, _ = book.anchor.said(message.said, kind, book.wall_ms, role=ROTATE, expelled=book.revocations)
        if isinstance(message, Cancel):
            if book.cancel(said.epoch):
                self._leading.cancelled(said.epoch)
            return
        held = book.epochs.get(said.epoch)
        if held is None:
            current = book.epochs.current
            if current is not None and book.epochs.over(said.epoch) and book.epochs.follows(current, said.epoch):
                book.ack(peer, said.epoch, RETIRED)  # we are farther
            else:
                self._sharing.ask(peer)
            return
        book.heard_at[said.epoch] = book.now
        if isinstance(message, Activate):
            book.activate(held, message.said)
            book.ack(peer, said.epoch, ACTIVE)
        elif held.active is None:
            self._sharing.ask(peer)
        else:
            book.retire(held)
            book.ack(peer, said.epoch, RETIRED)

    def renew(self, credential: Credential) -> None:
        """This member's certificate is another one from now on; checked at the next event."""
        self.book.credential = credential
        self.book.members.pop(self.id, None)

    # -- entering

    def from_epoch(self) -> int:
        """For the certificate of a new member, by the policy for joiners."""
        current = self.book.epochs.current
        number = current.number if current else 1
        return {"current": number, "fresh": number + 1, "history": 1}[self.book.policy.joiners]

    def greeting(self, member: Member) -> bytes:
        """What a member who enters is given; for ``Door.welcome``."""
        self.book.learn(member.credential)
        return encode(self._sharing.bundle(member, entries=ENTRIES_AT_ONCE))

    def entered(self, welcome: Welcome, door: Member, now: float, wall_ms: WallMs, chance: Chance) -> list[Effect]:
        """Takes what the door gave. Raises BadPacket, NotTrusted."""
        effects = self.handle(Met(door.credential), now, wall_ms, chance)
        self._sharing.take(decode(welcome.given, Bundle), door.id)
        return effects

    # -- what is kept

    def state(self) -> bytes:
        """All that is to be kept, as secret as the keys in it; see ``kept``."""
        return freeze(self.book)

    def restore(self, data: bytes, wall_ms: WallMs) -> None:
        """Takes back what ``state`` gave; empty: nothing. Before the first event. Raises KeyringSealed."""
        if not data:
            return
        self.book.wall_ms = wall_ms
        for credential in thaw(self.book, data):
            try:
                self.book.learn(credential)
            except (NotTrusted, BadPacket):
                continue  # its time is over, or it was revoked meanwhile

    def kept(self) -> None:
        """What ``Keep`` asked for was done."""
        self.book.dirty = False

    def inspect(self) -> Status:
        """How things stand."""
        book, lead = self.book, self._leading.lead
        current = book.epochs.current
        return Status(
            id=book.id, epoch=current.number if current else 0, epoch_id=current.hash.hex()[:8] if current else "",
            age_s=(book.wall_ms - current.record.made_ms) / 1000 if current else None,
            heads=len(book.epochs.heads), held=len(book.epochs), sealed=sum(book.sealed.values()),
            revocations=len(book.revocations), leads=lead is not None, step=lead.step if lead else None,
            wanted=self._leading.why(), waiting=self._leading.waiting())

    def __repr__(self) -> str:
        return f"Trust({self.id}, {self.epochs!r})"
