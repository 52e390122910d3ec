# SPDX-License-Identifier: Apache-2.0
"""What a member knows and holds, and the small things that all parts of its key management do with it."""

from __future__ import annotations

from typing import Final

from ..._base.chance import Chance
from ..._base.clock import WallMs
from ...errors import NotTrusted
from .admission import ROTATE, Anchor, Credential, Member, Vouched
from .boxes import Box, check_key, seal
from .epochs import Epoch, Epochs, may_have
from .identity import Entropy, Identity, short_id
from .messages import Ack, Acked
from .policy import Effect, Keep, Policy, Send, Turned
from .records import Record, encode
from .revocations import Revocations

#: Members whose certificates are remembered.
MEMBERS_MAX: Final = 65_536


class Book:
    """Shared by the parts; ``machine.Trust`` owns it. now, wall_ms, chance: of the event that is being handled."""

    def __init__(self, anchor: Anchor, identity: Identity, credential: Credential, entropy: Entropy, *,
                 policy: Policy) -> None:
        self.anchor, self.identity, self.credential = anchor, identity, credential
        self.entropy, self.policy = entropy, policy
        self.epochs = Epochs()
        self.revocations = Revocations(anchor)
        self.members: dict[str, Member] = {}
        #: The highest epoch that a member we met waits for.
        self.awaited = 0
        self.short: dict[bytes, str] = {}
        self.live: frozenset[str] = frozenset()
        #: Packets under the present key, as members told.
        self.sealed: dict[str, int] = {}
        #: When each epoch became active here, and when something was last heard of it.
        self.active_at: dict[bytes, float] = {}
        self.heard_at: dict[bytes, float] = {}
        #: Epochs of which this member knows everybody who was revoked before them.
        self.covered: set[bytes] = set()
        self.dirty = False
        self.out: list[Effect] = []
        self.now = 0.0
        self.wall_ms = WallMs(0)
        self.chance: Chance

    @property
    def id(self) -> str:
        """This node's."""
        return self.identity.id

    @property
    def may_rotate(self) -> bool:
        """Has this member the role, now?"""
        own = self.member(self.id)
        return own is not None and own.has(ROTATE)

    def member(self, id: str) -> Member | None:
        """Whose certificate is known and good, and who was not revoked."""
        member = self.members.get(id)
        if member is None:
            return None
        try:
            self.anchor.still(member, self.wall_ms, self.revocations)  # guard: the revoked get no key
        except NotTrusted:
            return None
        return member

    def enrol(self) -> None:
        """This member's own certificate. Raises NotTrusted when it is none; not when he was revoked since."""
        own = self.anchor.member(self.credential, self.wall_ms)
        if own.certificate.signing != self.identity.signing or own.certificate.sealing != self.identity.sealing:
            raise NotTrusted("the certificate is another node's", why="identity")
        self.members[own.id] = own
        self.short[short_id(own.id)] = own.id

    def learn(self, credential: Credential) -> Member:
        """Remembers a certificate; of two of one node the one that holds longer. Raises NotTrusted, BadPacket."""
        member = self.anchor.member(credential, self.wall_ms, self.revocations)
        known = self.member(member.id)
        if known is not None and known.certificate.not_after_ms >= member.certificate.not_after_ms:
            return member
        if member.id not in self.members and len(self.members) >= MEMBERS_MAX:
            raise NotTrusted(f"{MEMBERS_MAX} members are known already", why="identity")
        check_key(member.certificate.sealing)  # guard: keys that would stop a rotation
        self.members[member.id] = member
        self.short[short_id(member.id)] = member.id
        self.awaited = max(self.awaited, member.certificate.from_epoch)
        return member

    def begin(self, now: float, wall_ms: WallMs, chance: Chance) -> None:
        """An event comes."""
        self.now, self.wall_ms, self.chance, self.out = now, wall_ms, chance, []
        root = self.revocations.digest.root
        self.covered.update(one.hash for one in self.epochs if one.record.covers == root)

    def may_give(self, epoch: Epoch) -> bool:
        """May this member seal its key to others? Not while he may have missed who was revoked before it."""
        return epoch.hash in self.covered or epoch.record.covers == self.revocations.digest.root

    def sign(self, record: Record) -> Vouched:
        """Said by this member."""
        return Vouched(self.identity.sign(self.anchor.cluster, record), self.credential)

    def send(self, to: str, message: Record) -> None:
        """To be sent."""
        self.out.append(Send(to, encode(message)))

    def changed(self) -> None:
        """What is kept on disk changed: it has to be there before anybody is told."""
        self.dirty = True
        if not any(isinstance(one, Keep) for one in self.out):
            self.out.append(Keep())

    def ack(self, to: str, epoch: bytes, step: str) -> None:
        """Tells who leads; not before it is on disk."""
        if self.dirty:
            self.changed()  # guard: on disk first. Once more, where the last time failed
        self.send(to, Acked(self.sign(Ack(epoch, step))))

    def box(self, member: Member, epoch: Epoch) -> Box:
        """The epoch's key for this member."""
        return seal(epoch.key.reveal(), self.anchor.cluster, epoch.hash, member.id, member.certificate.sealing,
                    entropy=self.entropy)

    def may_have(self, member: Member, epoch: Epoch) -> bool:
        """May the member have its key, as things stand? Heads and what is to come are in force."""
        in_force = epoch.active is None or any(epoch.hash == head.hash for head in self.epochs.heads)
        if not in_force and self.policy.joiners == "history":
            return True
        return may_have(member.certificate, epoch, in_force=in_force)

    def activate(self, epoch: Epoch, said: Vouched) -> bool:
        """Makes it active here. False: it was."""
        if not self.epochs.activate(epoch.hash, said):
            return False
        self.active_at[epoch.hash] = self.now
        self.changed()
        current = self.epochs.current
        if current is not None and current.hash == epoch.hash:
            self.sealed.clear()
        self.out.append(Turned("active", epoch))
        return True

    def retire(self, epoch: Epoch) -> None:
        """Forgets what the epoch follows."""
        gone = self.epochs.retire(epoch.hash)
        if gone:
            self.changed()
        for each in gone:
            self.active_at.pop(each.hash, None)
            self.heard_at.pop(each.hash, None)
            self.covered.discard(each.hash)
            self.out.append(Turned("retired", each))

    def cancel(self, epoch: bytes) -> bool:
        """Forgets an epoch that is not active. False: there is none."""
        held = self.epochs.get(epoch)
        if held is None or not self.epochs.cancel(epoch):
            return False
        self.heard_at.pop(epoch, None)
        self.covered.discard(epoch)
        self.changed()
        self.out.append(Turned("cancelled", held))
        return True

    def rank(self) -> int:
        """This member's place among those alive who may rotate; the first begins, the others wait for him."""
        before = [node for node in self.live if node < self.id]
        return sum(1 for node in before if (one := self.member(node)) is not None and one.has(ROTATE))
