# SPDX-License-Identifier: Apache-2.0
"""Invitations: how a node without a certificate gets one.

An invitation has a key pair of its own. The issuer signs its public half together with a name and a time; the token
that an operator carries to the new node holds the private half, so the node proves that it has the token and never
sends it: who listens to a join learns nothing to join by.

Only who made an invitation redeems it, and writes that down before the certificate leaves. That is what "once" rests
on: no agreement is needed, since nobody else can be asked. The price: when that member is gone, its open invitations
are, too. The same node may ask again, when the answer was lost, and gets the same certificate.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable
from typing import Final

from ..._base.clock import WallMs
from ..._base.secret import Secret
from ...errors import BadPacket, ConfigurationError, NotTrusted
from .admission import SERIAL, Anchor, Credential, issue
from .identity import KEY, Entropy, Identity, signed_with
from .records import Record, Signed, decode, encode

SCHEME: Final = "hf-invite-1."
#: Invitations that are out at the same time.
OPEN_MAX: Final = 4096
DAY_MS: Final = 86_400_000
_SUM: Final = 4


class Invite(Record, frozen=True, tag="invite"):
    """key: the public half. name: who may come with it; empty: anybody. not_after_ms: since 1970."""

    key: bytes
    name: str
    not_after_ms: int


class Claim(Record, frozen=True, tag="claim"):
    """Said with the invitation's key: this node, in this conversation, comes with it."""

    name: str
    signing: bytes
    sealing: bytes
    transcript: bytes


class Coming(Record, frozen=True, tag="coming"):
    """What a node without a certificate shows: the invitation, and its claim."""

    invite: Signed
    claim: Signed


class Redeemed(Record, frozen=True, tag="redeemed"):
    """Who came with an invitation, and what it got."""

    key: bytes
    id: str
    not_after_ms: int
    certificate: Signed


class _Token(Record, frozen=True, tag="token"):
    cluster: bytes
    issuers: tuple[bytes, ...]
    invite: Signed
    seed: bytes


def _sum(data: bytes) -> bytes:
    """For slips in copying, which would otherwise look like another cluster."""
    return hashlib.sha256(data).digest()[:_SUM]


class Token:
    """An invitation as the new node holds it. Does not print itself."""

    __slots__ = ("_seed", "anchor", "invite", "name")

    def __init__(self, text: str | Secret[str]) -> None:
        """Raises ConfigurationError, which does not quote the text."""
        text = text.reveal() if isinstance(text, Secret) else text
        try:
            if not text.startswith(SCHEME):
                raise ValueError("another scheme")
            data = base64.urlsafe_b64decode(text.removeprefix(SCHEME).strip().encode())
            if _sum(data[_SUM:]) != data[:_SUM]:
                raise ValueError("not as it was printed")
            found: _Token = decode(data[_SUM:], _Token)
            self._seed = Secret(found.seed)
            #: What the node believes from now on: the cluster and its issuers.
            self.anchor: Final = Anchor(found.cluster, found.issuers)
            self.invite: Final = found.invite
            #: The name it is for; empty: any.
            self.name: Final = self.anchor.verify(found.invite, Invite).name
        except (ValueError, binascii.Error, BadPacket, NotTrusted):
            raise ConfigurationError("this is no invitation: copy the whole of it") from None

    def coming(self, identity: Identity, name: str, transcript: bytes) -> Coming:
        """What shows that this node holds the token."""
        claim = Claim(name, identity.signing, identity.sealing, transcript)
        return Coming(self.invite, signed_with(self._seed, self.anchor.cluster, claim))

    def __repr__(self) -> str:
        return f"Token(for {self.name or 'anybody'!r})"


class Invitations:
    """Makes invitations and redeems them, each once.

    identity, credential: of the member who admits; credential None: it is an issuer's. keep: called with all that was
    redeemed before a certificate leaves; what it raises leaves nothing redeemed. kept: what it was last called with.
    """

    __slots__ = ("_anchor", "_credential", "_entropy", "_identity", "_keep", "_redeemed")

    def __init__(self, anchor: Anchor, identity: Identity, credential: Credential | None, *, entropy: Entropy,
                 keep: Callable[[tuple[Redeemed, ...]], None], kept: tuple[Redeemed, ...] = ()) -> None:
        self._anchor, self._identity, self._credential = anchor, identity, credential
        self._entropy, self._keep = entropy, keep
        self._redeemed = {one.key: one for one in kept}

    def make(self, not_after_ms: WallMs, name: str = "") -> Secret[str]:
        """A token for one node, to be carried to it in secret. name: the only one it may take; empty: any."""
        seed = self._entropy(KEY)
        key = Identity(Secret(seed), Secret(seed)).signing
        invite = self._identity.sign(self._anchor.cluster, Invite(key, name, not_after_ms))
        token = encode(_Token(self._anchor.cluster, tuple(sorted(self._anchor.issuers)), invite, seed))
        return Secret(SCHEME + base64.urlsafe_b64encode(_sum(token) + token).decode())

    def redeem(self, coming: Coming, transcript: bytes, now_ms: WallMs, *, from_epoch: int,
               valid_ms: int = 365 * DAY_MS) -> Credential:
        """What the node gets. transcript: of this very conversation. Raises NotTrusted, OSError from ``keep``."""
        cluster = self._anchor
        invite = cluster.verify(coming.invite, Invite)
        if coming.invite.signer != self._identity.signing:  # guard: own invitations
            raise NotTrusted("an invitation is redeemed by who made it: join there", why="invite")
        if now_ms >= invite.not_after_ms:  # guard: invitations end
            raise NotTrusted("the invitation is over: have another one made", why="invite")
        claim = cluster.verify(coming.claim, Claim)
        if coming.claim.signer != invite.key or claim.transcript != transcript:  # guard: who holds the token
            raise NotTrusted("not said by who holds the invitation, or in another conversation", why="invite")
        if invite.name and claim.name != invite.name:  # guard: the invited
            raise NotTrusted(f"the invitation is for {invite.name!r}, not for {claim.name!r}", why="invite")
        issuer = self._credential.certificate if self._credential else None
        certificate = issue(self._identity, cluster.cluster, claim.name, claim.signing, claim.sealing,
                            serial=self._entropy(SERIAL), not_before_ms=now_ms,
                            not_after_ms=WallMs(now_ms + valid_ms), from_epoch=from_epoch)
        new = Credential(certificate, issuer)
        node = cluster.member(new, now_ms).id
        before = self._redeemed.get(invite.key)
        if before is not None:
            if before.id != node:  # guard: once
                raise NotTrusted("the invitation was used by another node", why="invite")
            return Credential(before.certificate, issuer)
        self._write(Redeemed(invite.key, node, invite.not_after_ms, certificate), now_ms)
        return new

    def _write(self, one: Redeemed, now_ms: WallMs) -> None:
        still = {each.key: each for each in self._redeemed.values() if now_ms < each.not_after_ms}
        if len(still) >= OPEN_MAX:
            raise NotTrusted(f"{OPEN_MAX} invitations were used and are not over yet: make shorter ones", why="invite")
        still[one.key] = one
        self._keep(tuple(still.values()))  # guard: written down first
        self._redeemed = still

    def __repr__(self) -> str:
        return f"Invitations({len(self._redeemed)} redeemed)"
