# SPDX-License-Identifier: Apache-2.0
"""Who is who: a node's id in ``trust``, its id and key in ``signing``, and its name among members, which are one.

A certificate says all of it, so whoever shows one that counts is admitted: its key is bound to its name, and no other
node bears that name until its key was revoked.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from ..._base.clock import WallMs
from ...errors import BadPacket, NotTrusted
from ..signing import Algorithm, PublicKey, Registry
from ..signing.registry import KEYS_MAX
from ..trust.admission import Anchor, Credential, Member
from ..trust.policy import Event, Met
from ..trust.records import decode
from ..trust.revocations import Revocations

#: What happened and was not told to key management yet.
WAITING_MAX: Final = 4096


class People:
    """revoked: the list that counts. happened: for key management: whose certificates were seen."""

    def __init__(self, anchor: Anchor, registry: Registry, revoked: Revocations) -> None:
        self.anchor: Final = anchor
        self.registry: Final = registry
        self._revoked = revoked
        self._ids: dict[str, str] = {}
        self._members: dict[str, Member] = {}
        self.happened: deque[Event] = deque(maxlen=WAITING_MAX)

    def admit(self, node_id: bytes, public: PublicKey, shown: bytes, now: WallMs) -> str | None:
        """The name that this key may bear; None: nobody whom this cluster knows says that it may. As
        ``signing.Admission``."""
        try:
            credential: Credential = decode(shown, Credential)
            member = self.anchor.member(credential, now, self._revoked)  # guard: the revoked are not admitted
        except (BadPacket, NotTrusted):
            return None
        if public.algorithm is not Algorithm.ED25519 or member.certificate.signing != public.data:
            return None  # guard: whose certificate
        if self.registry.node_of(member.name) not in (None, node_id) and not self._over(member.name):
            return None
        if len(self._members) >= KEYS_MAX and member.id not in self._members:
            return None
        self._known(member)
        return member.name

    def enter(self, member: Member) -> None:
        """Who showed at a join who he is. Raises NotTrusted where another node has the name."""
        self.registry.bind(PublicKey(Algorithm.ED25519, member.certificate.signing), member.name)
        self._known(member)

    def _known(self, member: Member) -> None:
        self._ids[member.name] = member.id
        self._members[member.id] = member
        self.happened.append(Met(member.credential))

    def _over(self, name: str) -> bool:
        known = self._members.get(self._ids.get(name, ""))
        return known is not None and self._revoked.names(known.id, known.certificate.serial)

    def id_of(self, name: str) -> str | None:
        """The id, as ``trust`` has it, of whoever bears this name; None: it is not known."""
        return self._ids.get(name)

    def name_of(self, id: str) -> str | None:
        """The name of the node with this id; None: it is not known."""
        member = self._members.get(id)
        return member.name if member is not None and self._ids.get(member.name) == id else None

    def expelled(self) -> list[str]:
        """Names of those who are on the list of the revoked by now: what their keys sign is refused from now on."""
        gone = []
        for node, member in tuple(self._members.items()):
            if self._revoked.names(node, member.certificate.serial):
                self.registry.revoke(PublicKey(Algorithm.ED25519, member.certificate.signing).id)
                del self._members[node]
                if self._ids.get(member.name) == node:
                    gone.append(member.name)
        return gone
