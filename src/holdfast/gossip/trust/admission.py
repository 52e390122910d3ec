# SPDX-License-Identifier: Apache-2.0
"""Who belongs to the cluster, and who may do what in it: certificates.

::

    issuer ─ signs ─▶ member's certificate
    issuer ─ signs ─▶ certificate with the role "admit" ─ signs ─▶ member's certificate, without roles

Every member is told the issuers' public keys; nothing else is believed because it was sent. A certificate binds a name,
an id and both public keys for a time. One that was given by a member who may admit falls with that member's own: who
had his key could have made any number of them. Times are the machine's; ``skew_ms`` is how far two may be apart.

Roles: admit (redeems invitations), rotate (announces epochs), revoke (expels). A member needs none.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

from ..._base.clock import WallMs
from ...errors import BadPacket, ConfigurationError, NotTrusted
from .identity import KEY, Identity, node_id
from .records import CLUSTER_MAX, Record, Signed, verify

ADMIT: Final = "admit"
ROTATE: Final = "rotate"
REVOKE: Final = "revoke"
ROLES: Final = (ADMIT, REVOKE, ROTATE)
SERIAL: Final = 16
NAME_MAX: Final = 128
#: Signatures whose checking is remembered: one takes 0.1 ms.
REMEMBERED: Final = 4096


class Certificate(Record, frozen=True, tag="certificate"):
    """An issuer's word on a node. Times in milliseconds since 1970.

    from_epoch: the first epoch whose key the member may have though it is not in force any more; 0: none. One that is
    above the epoch in force keeps that one from a member, too.
    """

    name: str
    id: str
    signing: bytes
    sealing: bytes
    serial: bytes
    not_before_ms: int
    not_after_ms: int
    roles: tuple[str, ...]
    from_epoch: int


class Credential(Record, frozen=True, tag="credential"):
    """A certificate, and that of who signed it when that was no issuer."""

    certificate: Signed
    issuer: Signed | None


class Vouched(Record, frozen=True, tag="vouched"):
    """Something said, and who it was that said it. by: None: an issuer himself."""

    said: Signed
    by: Credential | None

    @property
    def hash(self) -> bytes:
        """Of what was said and by whom; who vouches for him does not change it."""
        return self.said.hash


class Expelled(Protocol):
    """Who was revoked."""

    def names(self, id: str, serial: bytes) -> bool:
        """Is it this node, or this certificate?"""
        ...


@dataclass(frozen=True)
class Member:
    """A certificate that was checked. above: that of the member who gave it; None: an issuer did."""

    certificate: Certificate
    credential: Credential
    above: Certificate | None = None

    @property
    def id(self) -> str:
        """The node's id."""
        return self.certificate.id

    @property
    def name(self) -> str:
        """The node's name."""
        return self.certificate.name

    @property
    def admitted_by(self) -> str:
        """The id of the member who gave the certificate; empty: an issuer did."""
        return self.above.id if self.above else ""

    def has(self, role: str) -> bool:
        """May the member do this?"""
        return role in self.certificate.roles


R = TypeVar("R", bound=Record)


class Anchor:
    """What a member believes from the beginning. cluster: the label, 1 to 255 bytes. issuers: Ed25519 public keys.

    Raises ConfigurationError.
    """

    __slots__ = ("_seen", "cluster", "issuers", "skew_ms")

    def __init__(self, cluster: bytes | str, issuers: Iterable[bytes], *, skew_ms: int = 60_000) -> None:
        self.cluster: Final = cluster.encode() if isinstance(cluster, str) else cluster
        self.issuers: Final = frozenset(issuers)
        self.skew_ms: Final = skew_ms
        self._seen: OrderedDict[tuple[bytes, bytes, bytes], Any] = OrderedDict()
        if not 1 <= len(self.cluster) <= CLUSTER_MAX:
            raise ConfigurationError(f"a cluster with identities has a label of 1 to {CLUSTER_MAX} bytes")
        if not self.issuers or any(len(key) != KEY for key in self.issuers):
            raise ConfigurationError(f"a cluster has at least one issuer, named by a public key of {KEY} bytes")

    def verify(self, signed: Signed, kind: type[R]) -> R:
        """What was said, when the signer did say it in this cluster; remembered. Raises NotTrusted, BadPacket."""
        known = (signed.signer, signed.signature, signed.body)
        found = self._seen.get(known)
        if found is None:
            found = verify(self.cluster, signed, kind)
            self._seen[known] = found
            if len(self._seen) > REMEMBERED:
                self._seen.popitem(last=False)
        if not isinstance(found, kind):
            raise BadPacket("a record of another kind")
        return found

    def member(self, credential: Credential, now_ms: WallMs, expelled: Expelled | None = None) -> Member:
        """Who this is. Raises NotTrusted, BadPacket."""
        certificate = self.verify(credential.certificate, Certificate)
        above = None
        _sound(certificate)
        if credential.certificate.signer not in self.issuers:
            above = self._admitting(credential)
            _sound(above)
            if certificate.roles:  # guard: roles come from issuers only
                raise NotTrusted(f"{above.name!r} may admit members, and not give them roles", why="role")
        member = Member(certificate, credential, above)
        self.still(member, now_ms, expelled)
        return member

    def still(self, member: Member, now_ms: WallMs, expelled: Expelled | None = None) -> None:
        """Raises NotTrusted when the member's time is over, or he was revoked, or either is true of who let him in.

        Checks no signature: that was done when the member was made.
        """
        for each in (member.certificate, *([member.above] if member.above else [])):
            if not each.not_before_ms - self.skew_ms <= now_ms < each.not_after_ms + self.skew_ms:  # guard: periods
                raise NotTrusted(f"the certificate of {each.name!r} is not valid at this time: renew it, or set the "
                                 "clocks", why="period")
            if expelled is not None and expelled.names(each.id, each.serial):  # guard: the expelled, whom they let in
                raise NotTrusted(f"{each.name!r} was revoked", why="revoked")

    def _admitting(self, credential: Credential) -> Certificate:
        if credential.issuer is None or credential.issuer.signer not in self.issuers:  # guard: issuers
            raise NotTrusted("a certificate that nobody gave whom this cluster knows as an issuer", why="issuer")
        above = self.verify(credential.issuer, Certificate)
        if above.signing != credential.certificate.signer or ADMIT not in above.roles:  # guard: who may admit
            raise NotTrusted(f"{above.name!r} did not give this certificate, or may not admit members", why="issuer")
        return above

    def said(self, vouched: Vouched, kind: type[R], now_ms: WallMs, *, role: str = "",
             expelled: Expelled | None = None) -> tuple[R, Member | None]:
        """What was said, and by whom; None: by an issuer, who may say all. Raises NotTrusted, BadPacket."""
        if vouched.by is None:
            if vouched.said.signer not in self.issuers:
                raise NotTrusted("said by somebody for whom nobody vouches", why="issuer")
            return self.verify(vouched.said, kind), None
        member = self.member(vouched.by, now_ms, expelled)
        if member.certificate.signing != vouched.said.signer:  # guard: whose key. Not who merely travels along
            raise NotTrusted(f"not signed by {member.name!r}, whose certificate came with it", why="identity")
        if role and not member.has(role):  # guard: roles
            raise NotTrusted(f"{member.name!r} lacks the role {role!r} that this takes", why="role")
        return self.verify(vouched.said, kind), member


def issue(issuer: Identity, cluster: bytes, name: str, signing: bytes, sealing: bytes, *, serial: bytes,
          not_before_ms: WallMs, not_after_ms: WallMs, roles: Iterable[str] = (), from_epoch: int = 0) -> Signed:
    """A certificate. serial: 16 random bytes. Raises ConfigurationError for what nobody would accept."""
    given = Certificate(name, node_id(signing), signing, sealing, serial, not_before_ms, not_after_ms,
                        tuple(sorted(set(roles))), from_epoch)
    try:
        _sound(given)
    except NotTrusted as error:
        raise ConfigurationError(f"no such certificate: {error}") from None
    return issuer.sign(cluster, given)


def _sound(one: Certificate) -> None:
    if one.id != node_id(one.signing):  # guard: the id follows from the key
        raise NotTrusted("a certificate whose id is not that of its key", why="identity")
    if len(one.signing) != KEY or len(one.sealing) != KEY or len(one.serial) != SERIAL or one.from_epoch < 0:
        raise NotTrusted("a certificate with keys or numbers of another size", why="identity")
    if not 1 <= len(one.name.encode()) <= NAME_MAX or set(one.roles) - set(ROLES):
        raise NotTrusted(f"a certificate has a name of 1 to {NAME_MAX} bytes and knows the roles {', '.join(ROLES)}",
                         why="identity")
    if one.not_before_ms >= one.not_after_ms:
        raise NotTrusted("a certificate that ends before it begins", why="period")
