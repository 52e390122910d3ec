# SPDX-License-Identifier: Apache-2.0
"""What the server does, without HTTP: who asks, in whose name the store is asked, and whether it may write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

from ..._base.clock import Clock, SystemClock
from ..._base.events import Event, SecretAsked
from ..._base.secret import Secret
from ...errors import ConfigurationError, SecretDenied, SecretNotFound, SecretUnavailable
from ..access import Action, Approvals, Asked, Guarded, Holder, Judge, Recorder, Said, Tokens
from ..contract import Found, SecretStore, Version
from ..names import CURRENT
from ..watched import WatchedStore
from .feed import Piece, Sealed
from .gate import Gate
from .terms import Role, Terms
from .words import Progress, Unsealing

T = TypeVar("T")

#: What is asked for to see whether a store can be read; nobody's secret is called so.
PROBE = "holdfast/ready"
#: What a standby asks for: who may do POLICY to it may follow.
FEED = "holdfast/feed"
#: Who may do POLICY to it may seal the server; to the other, unseal it.
SEAL: Final = "holdfast/seal"
UNSEAL: Final = "holdfast/unseal"


@dataclass(frozen=True)
class Desk:
    """A store that is served.

    tokens: who has one may ask. names: holders by the common name in a client's certificate, which the server's
    authority has signed. terms: whether it is the primary. sealed: the same store as bytes, for standbys; None: nobody
    follows. tell: hears of every access; refusals of strangers are in no audit, or a stranger could fill its disk.
    gate: what store, audit and sealed are behind, where it can be sealed while it is served.
    """

    store: SecretStore
    policy: Judge
    audit: Recorder
    terms: Terms
    tokens: Tokens | None = None
    names: Mapping[str, Holder] = field(default_factory=dict)
    sealed: Sealed | None = None
    approvals: Approvals = field(default_factory=Approvals)
    clock: Clock = field(default_factory=SystemClock)
    tell: Callable[[Event], None] = lambda _: None
    gate: Gate | None = None

    def holder(self, token: Secret[str] | None, name: str) -> Holder:
        """Who asks. name: in the certificate; empty without one. A token counts before it. Raises SecretDenied."""
        try:
            if token is not None and self.tokens is not None:
                return self.tokens.check(token)
            if name in self.names:
                return self.names[name]
            raise SecretDenied(f"nobody is known here by the certificate of {ascii(name)[:100]}: have it entered, or "
                               "give a token" if name else "give a token, or a certificate")
        except SecretDenied:
            self._stays_out()
            raise

    def call(self, asked: Callable[[Holder], T], holder: Holder) -> T:
        """Asks; sealing waits until that has ended."""
        if self.gate is None:
            return asked(holder)
        with self.gate.within():
            return asked(holder)

    def as_(self, holder: Holder) -> _Named:
        """The store in somebody's name."""
        guarded = Guarded(self.store, holder, self.policy, self.audit, self.clock, approvals=self.approvals)
        return _Named(guarded, WatchedStore(guarded, self.tell, who=holder.who), self.terms)

    def approve(self, holder: Holder, who: str, action: Action, name: str) -> int:
        """``holder`` approves what ``who`` asks for. How many there are now."""
        self.as_(holder).guarded.may(Action.APPROVE, name)
        return self.approvals.give(holder.who, who, action, name, self.clock.now())

    def feed(self, holder: Holder, file: str, since: int) -> Piece:
        """What is new in the sealed file. It is recorded when there is something: a standby asks twice a second."""
        verdict = self.policy.judge(Asked(holder.who, holder.roles, Action.POLICY, FEED), self.clock.wall_ms())
        if not verdict.allowed:
            self.as_(holder).guarded.may(Action.POLICY, FEED)
        if self.sealed is None:
            raise SecretNotFound("this store cannot be followed: only one that is a sealed file can")
        piece = self.sealed.piece(file, since)
        if piece.data:
            self.audit.write(Said(holder.who, holder.roles, Action.POLICY.value, FEED, "done", verdict.why))
        return piece

    def unseal(self, holder: Holder, given: Unsealing) -> Progress:
        """By a passphrase, or one more share. Who may not is told nothing of either; what is wrong is told by events,
        since the audit is sealed as well. Raises SecretDenied, SecretsSealed, ConfigurationError."""
        from ..vault import Passphrase

        gate = self._gate()
        verdict = self.policy.judge(Asked(holder.who, holder.roles, Action.POLICY, UNSEAL), self.clock.wall_ms())
        if not verdict.allowed:  # guard: nobody else makes it work, or puts shares in
            self._stays_out(holder.who)
            raise SecretDenied(f"{holder.who} may not policy {UNSEAL}: {verdict.why}")
        if not gate.sealed:
            return Progress(sealed=False)
        try:
            found = gate.share(Secret(given.share)) if given.share else gate.unseal(
                Passphrase(Secret(given.passphrase)))
        except SecretUnavailable:
            self._stays_out(holder.who)
            raise
        if not found.sealed:
            try:
                self.audit.write(Said(holder.who, holder.roles, Action.POLICY.value, UNSEAL, "done", verdict.why))
            except SecretUnavailable:
                gate.seal()  # guard: nothing is unsealed unrecorded
                raise
        return found

    def seal(self, holder: Holder) -> Progress:
        """Drops all keys once what is under way has ended. Raises SecretDenied."""
        gate = self._gate()
        if not gate.sealed:
            self.call(lambda who: self.as_(who).guarded.may(Action.POLICY, SEAL), holder)  # guard: who may seal
            gate.seal()
        return Progress(sealed=True)

    def _gate(self) -> Gate:
        if self.gate is None:
            raise ConfigurationError("this server was not made to be sealed while it runs: stop it instead")
        return self.gate

    def _stays_out(self, who: str = "") -> None:
        self.tell(SecretAsked(scheme=self.store.scheme, action="enter", outcome="denied", secret="", who=who,
                              seconds=0.0))

    def why_not_ready(self) -> str:
        """Why secrets cannot be read here now; empty when they can."""
        try:
            self.store.history(PROBE)
        except SecretNotFound:
            return ""
        except SecretUnavailable as error:
            return str(error)
        return ""

    @property
    def role(self) -> Role:
        """Primary, standby or superseded."""
        return self.terms.standing.role


class _Named:
    """The contract in somebody's name. Changes are made by a primary alone."""

    def __init__(self, guarded: Guarded, store: WatchedStore, terms: Terms) -> None:
        self.guarded, self._store, self._terms = guarded, store, terms

    def get(self, name: str, version: int | None, label: str) -> Found:
        """See ``SecretStore``."""
        return self._store.get(name, version=version, label=label)

    def names(self, prefix: str) -> tuple[str, ...]:
        """See ``SecretStore``."""
        return self._store.names(prefix)

    def history(self, name: str) -> tuple[Version, ...]:
        """See ``SecretStore``."""
        return self._store.history(name)

    def put(self, name: str, value: Secret[bytes], label: str = CURRENT, expect: int | None = None) -> Version:
        """See ``SecretStore``."""
        self._terms.check_writes()
        return self._store.put(name, value, label=label, expect=expect)

    def label(self, name: str, label: str, version: int | None, expect: int | None) -> None:
        """See ``SecretStore``."""
        self._terms.check_writes()
        self._store.label(name, label, version, expect=expect)

    def turn(self, what: str, name: str, version: int | None) -> None:
        """Delete, undelete or destroy."""
        self._terms.check_writes()
        {"delete": self._store.delete, "undelete": self._store.undelete,
         "destroy": self._store.destroy}[what](name, version=version)
