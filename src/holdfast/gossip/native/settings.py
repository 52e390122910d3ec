# SPDX-License-Identifier: Apache-2.0
"""What a member of a native cluster is told: who it is, by whose word it belongs, and how keys are changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..._base.secret import Secret
from ...errors import ConfigurationError
from ..keys.sealed import Unlock
from ..signing import Lifetimes
from ..trust.admission import Anchor, Credential
from ..trust.identity import Identity
from ..trust.invites import Token
from ..trust.policy import Policy


@dataclass(frozen=True, kw_only=True)
class Native:
    """For ``Cluster(native=…)``. Every value is the same for all members, but who each is.

    label: the cluster's name, 1 to 255 bytes; with an invitation that one's. identity: this node's keys.

    certificate: an issuer's word for it, or that of a member with the role "admit"; issuers: Ed25519 public keys of
    those whose word counts. Or invite: a token that a member with that role made; then join at that member. What it
    gets is handed to ``certified``, to be kept with the identity: an invitation works once.

    policy: how keys are changed, see ``trust.Policy``. lifetimes: how old a signed message may be. skew_ms: how far
    clocks may differ, for certificates.

    state: a file that keeps the keys it holds and who was revoked, so that it comes back after a restart as who it was;
    without, it gets both anew when it joins. redeemed: a file that keeps which invitations were used; without, this
    member makes none. unlock: the passphrase or key file that seals both. Raises ConfigurationError.
    """

    identity: Identity
    label: str = ""
    certificate: Credential | None = None
    invite: str | Secret[str] | Token | None = None
    issuers: Sequence[bytes] = ()
    policy: Policy = field(default_factory=Policy)
    lifetimes: Lifetimes = field(default_factory=Lifetimes)
    skew_ms: int = 60_000
    certified: Callable[[Credential], None] | None = None
    state: Path | None = None
    redeemed: Path | None = None
    unlock: Unlock | None = None

    def __post_init__(self) -> None:
        if (self.certificate is None) == (self.invite is None):
            raise ConfigurationError("a member of a native cluster shows a certificate or an invitation: give one of "
                                     "certificate= and invite=")
        if self.unlock is None and (self.state is not None or self.redeemed is not None):
            raise ConfigurationError("what a member keeps is sealed: give unlock= with state= and redeemed=")
        _ = self.anchor

    @property
    def token(self) -> Token | None:
        """The invitation, read. Raises ConfigurationError."""
        return Token(self.invite) if isinstance(self.invite, str | Secret) else self.invite

    @property
    def anchor(self) -> Anchor:
        """What it believes from the beginning. Raises ConfigurationError."""
        token = self.token
        if token is not None:
            if self.label and self.label.encode() != token.anchor.cluster:
                raise ConfigurationError("the invitation is to another cluster than label= names")
            return Anchor(token.anchor.cluster, token.anchor.issuers, skew_ms=self.skew_ms)
        return Anchor(self.label, self.issuers, skew_ms=self.skew_ms)

    @property
    def named(self) -> str:
        """The cluster's label, as text. Raises ConfigurationError."""
        try:
            return self.anchor.cluster.decode()
        except UnicodeDecodeError:
            raise ConfigurationError("a native cluster's label is UTF-8") from None
