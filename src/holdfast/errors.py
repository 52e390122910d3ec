# SPDX-License-Identifier: Apache-2.0
"""Every error Holdfast raises on purpose.

The tree, in full::

    HoldfastError
    ├── ConfigurationError            what was asked for cannot be: mend the call or the settings
    │   ├── MissingExtra              an optional dependency is not installed; the message names the extra
    │   ├── BadHandler                a handler's signature cannot be served
    │   └── SchemaTooNew              the server holds data of a later Holdfast
    ├── ServerError                   the Redis/Valkey server, or the way to it
    │   ├── ServerUnreachable         no answer: retrying may help
    │   ├── ServerRefused             an error reply that has no class of its own; ``code`` is its first word
    │   ├── NotAuthorized             the user lacks a right; the message names the command
    │   ├── AbilityMissing            the server lacks a command that was asked for
    │   ├── NotAStream                the key holds something else
    │   └── ServerFull                the server is at its memory limit
    ├── PublishError                  the message was not, or may not have been, published
    │   ├── MessageTooLarge
    │   ├── PartitionMismatch         the stream has another number of partitions
    │   ├── NotReplicated             written, but not confirmed by enough replicas
    │   └── InDoubt                   sent, and the answer never came
    ├── MessageError                  a message cannot be handed to its handler
    │   ├── DecodeError               the body is not what its content type says
    │   ├── ValidationFailed          the body is not what the handler's type asks for
    │   ├── UnknownType               no handler for this message type: parked, not buried
    │   └── UnknownVersion            a later format version: parked, not buried
    ├── EffectError                   an effect that is to happen once
    │   ├── BusinessIdMissing         the message lacks the id its effect is known by
    │   ├── EffectFailed              a write was refused; what came before it is remembered
    │   ├── ReadsChanged              what the handler had read changed before its writes went in
    │   ├── EffectBusy                somebody else is at it right now
    │   ├── EffectInDoubt             somebody began and died: whether it happened is for a person to say
    │   └── IllegalTransition         the state machine has no such step from the present state
    ├── LeaseLost                     this incarnation was declared dead; its work belongs to another
    ├── IdError                       ids that cannot collide
    │   ├── IdsRefused                no id can be made now that nobody else could make
    │   ├── WorkerIdTaken             the worker id that was asked for is somebody else's
    │   └── WorkerIdsExhausted        all worker ids are held
    ├── LockUnconfirmed               granted, not confirmed by enough replicas, and given back
    ├── FenceRejected                 a later holder of the lock has written: nothing was written now
    ├── HandlerTimeout                the handler ran longer than its limit
    ├── LetterError                   dead letters
    │   ├── LetterNotFound
    │   ├── LetterInvalid             metadata that the specification forbids
    │   ├── CaseMoved                 somebody else dealt with the letter meanwhile
    │   ├── IncidentNotFound
    │   ├── AlreadyApplied            the effect exists; replaying would be for nothing
    │   ├── RepairRefused             a repair cannot mend this message, or is told what it cannot do
    │   └── ReplayRefused             replaying might apply twice; the message says what would allow it
    ├── SecretUnavailable             a secret could not be had
    │   ├── SecretNotFound            there is none of that name, or no such version
    │   ├── SecretDenied              no policy allows it
    │   ├── SecretsSealed             the store is sealed, or what was given does not unseal it
    │   ├── SecretsDamaged            the store was changed by somebody else, or an older copy was put back
    │   ├── SecretsUnreachable        the store did not answer
    │   └── QuorumLost                too few of the nodes that hold shares answered
    ├── SecretRefused                 secrets cannot be changed as asked
    │   ├── SecretMoved               somebody else changed it meanwhile
    │   └── RotationFailed            a stage of a rotation failed; what was in force still is
    └── GossipError                   members, and what they tell each other
        ├── BadPacket                 what a peer sent is not what the protocol says: nothing of it was used
        ├── JoinFailed                none of the members that were named could be joined
        ├── NameLost                  this member's name is another one's
        ├── KeyRefused                the keyring cannot be changed as asked
        ├── KeyringSealed             the keyring's file cannot be opened
        └── NotTrusted                who said it may not: nothing of it was used

``retry_may_help`` says whether the same call, made again later, could succeed with nothing mended.
A class's docstring is its message when none is given, so what is documented is what is printed.
"""

from __future__ import annotations

from typing import ClassVar


class HoldfastError(Exception):
    """Something in Holdfast failed."""

    retry_may_help: ClassVar[bool] = False
    #: The command line's exit code for this error: 1 the answer is no, 2 misuse, 3 cannot be reached.
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or " ".join((type(self).__doc__ or "").split()))


class ConfigurationError(HoldfastError):
    """What was asked for cannot be done as configured."""

    exit_code = 2


class MissingExtra(ConfigurationError):
    """An optional dependency is not installed."""

    def __init__(self, extra: str, needed_for: str) -> None:
        self.extra = extra
        super().__init__(f"{needed_for} needs the extra {extra!r}: pip install 'holdfast[{extra}]'")


class BadHandler(ConfigurationError):
    """The handler's signature cannot be served."""


class SchemaTooNew(ConfigurationError):
    """The server holds data written by a later Holdfast: upgrade this installation first."""


class ServerError(HoldfastError):
    """The server refused or could not do what was asked."""


class ServerUnreachable(ServerError):
    """The server did not answer.

    ``maybe_done`` is True when the command had been sent: it may have been carried out.
    """

    retry_may_help = True
    exit_code = 3

    def __init__(self, message: str | None = None, *, maybe_done: bool = False) -> None:
        self.maybe_done = maybe_done
        super().__init__(message)


class ServerRefused(ServerError):
    """The server answered with an error. ``code`` is the first word of its answer, for example NOGROUP."""

    def __init__(self, message: str | None = None, *, code: str = "ERR") -> None:
        self.code = code
        super().__init__(message)


class NotAuthorized(ServerError):
    """The server's user lacks a right that is needed: `holdfast doctor` prints the smallest ACL line that works."""

    exit_code = 3


class AbilityMissing(ServerError):
    """The server lacks a command that was asked for."""

    exit_code = 2


class NotAStream(ServerError):
    """The key exists and is not a stream."""

    exit_code = 2


class ServerFull(ServerError):
    """The server is at its memory limit and refuses writes: free memory or raise `maxmemory`."""

    retry_may_help = True


class PublishError(HoldfastError):
    """The message was not published."""


class MessageTooLarge(PublishError):
    """The message is larger than the limit for this stream."""

    exit_code = 2


class PartitionMismatch(PublishError):
    """The stream was created with another number of partitions; a key would change its partition."""

    exit_code = 2


class NotReplicated(PublishError):
    """The message was written, but too few replicas confirmed it in time; it may be lost in a failover."""

    retry_may_help = True

    def __init__(self, message: str | None = None, *, message_id: str = "", confirmed: int = 0) -> None:
        self.message_id = message_id
        self.confirmed = confirmed
        super().__init__(message)


class InDoubt(PublishError):
    """The message was sent and the answer never came: it may or may not be in the stream.

    Publish again with the same id; a consumer with ``once`` applies it a single time.
    """

    retry_may_help = True

    def __init__(self, message: str | None = None, *, message_ids: tuple[str, ...] = ()) -> None:
        self.message_ids = message_ids
        super().__init__(message)


class MessageError(HoldfastError):
    """The message cannot be handed to its handler."""


class DecodeError(MessageError):
    """The body is not what its content type says."""


class ValidationFailed(MessageError):
    """The body is not what the handler's type asks for."""


class UnknownType(MessageError):
    """No handler of this consumer takes this message type: it is parked until one does."""


class UnknownVersion(MessageError):
    """The message has a later format version than this consumer knows: it is parked until one does."""


class EffectError(HoldfastError):
    """An effect that is to happen once could not be brought about."""


class BusinessIdMissing(EffectError):
    """The message lacks the business id by which its effect is known: publish it with one."""


class EffectFailed(EffectError):
    """The server refused a write of this effect. The writes before it are in, and will not be done again.

    ``done`` of ``total`` writes are in; the next attempt goes on behind them.
    """

    retry_may_help = True

    def __init__(self, message: str | None = None, *, done: int = 0, total: int = 0) -> None:
        self.done = done
        self.total = total
        super().__init__(message)


class ReadsChanged(EffectError):
    """What the handler had read was changed by others before its writes went in: nothing was written."""

    retry_may_help = True


class EffectBusy(EffectError):
    """Somebody else is at this very effect right now: try again when they are through."""

    retry_may_help = True


class EffectInDoubt(EffectError):
    """Whoever began this effect died before saying how it ended: `holdfast once doubts` lists it, a person decides."""


class IllegalTransition(EffectError):
    """The state machine has no such step from the state that is stored.

    ``why``: illegal, early (a state it starts from can still be reached) or missing (no row); ``state``: as stored.
    """

    def __init__(self, message: str | None = None, *, why: str = "illegal", state: str | None = None) -> None:
        self.why = why
        self.state = state
        super().__init__(message)


class LeaseLost(HoldfastError):
    """This incarnation was declared dead; its deliveries belong to others now."""

    retry_may_help = True


class IdError(HoldfastError):
    """Something about ids failed."""


class IdsRefused(IdError):
    """No id can be made now that nobody else could make.

    ``why``: window (of the worker id; it has ended), clock (it went back), burst (too far ahead of the time), layout
    (its bits are used up), fork (the parent's), empty (a buffer, and nothing to fill it from).
    """

    retry_may_help = True

    def __init__(self, message: str | None = None, *, why: str = "") -> None:
        self.why = why
        super().__init__(message)


class WorkerIdTaken(IdError):
    """The worker id that was asked for is somebody else's."""

    retry_may_help = True


class WorkerIdsExhausted(IdError):
    """All worker ids are held: end some process, or take a layout with more bits for workers."""

    retry_may_help = True


class LockUnconfirmed(HoldfastError):
    """The lock was granted, too few replicas confirmed it in time, and it was given back."""

    retry_may_help = True


class FenceRejected(HoldfastError):
    """A later holder of the lock has written here, or another one with the same token: nothing was written now.

    ``resource``, ``offered`` and ``stored`` (tokens) say what was refused. Acquire the lock anew; this hold is over.
    """

    def __init__(self, message: str | None = None, *, resource: str = "", offered: int = 0, stored: int = 0) -> None:
        self.resource = resource
        self.offered = offered
        self.stored = stored
        super().__init__(message)


class HandlerTimeout(HoldfastError):
    """The handler ran longer than its limit."""

    retry_may_help = True


class LetterError(HoldfastError):
    """A dead letter cannot be dealt with as asked."""


class LetterNotFound(LetterError):
    """There is no such dead letter."""


class LetterInvalid(LetterError):
    """The letter's metadata breaks the specification."""


class CaseMoved(LetterError):
    """Somebody else dealt with this letter meanwhile: look at it again.

    ``state``: the one that it is in now.
    """

    retry_may_help = True

    def __init__(self, message: str | None = None, *, state: str = "") -> None:
        self.state = state
        super().__init__(message)


class AlreadyApplied(LetterError):
    """The message's effect exists already; replaying it would do nothing."""


class IncidentNotFound(LetterError):
    """There is no such incident."""


class RepairRefused(LetterError):
    """The repair cannot mend this message. Its words name places in the body and never say what stands there."""


class ReplayRefused(LetterError):
    """Replaying this letter might apply it a second time; use --force if that is harmless."""


class SecretUnavailable(HoldfastError):
    """A secret could not be had. The message names it and never says a value."""

    exit_code = 3


class SecretNotFound(SecretUnavailable):
    """There is no secret of that name, or no such version of it."""

    exit_code = 1


class SecretDenied(SecretUnavailable):
    """No policy allows it."""


class SecretsSealed(SecretUnavailable):
    """The store is sealed, or what was given does not unseal it."""


class SecretsDamaged(SecretUnavailable):
    """The store was changed by somebody else, or an older copy was put back: nothing of it is used."""


class SecretsUnreachable(SecretUnavailable):
    """The store did not answer.

    ``maybe_done`` is True when a change had been sent: it may have been made. Look, or try again with ``expect``.
    """

    retry_may_help = True

    def __init__(self, message: str | None = None, *, maybe_done: bool = False) -> None:
        self.maybe_done = maybe_done
        super().__init__(message)


class QuorumLost(SecretUnavailable):
    """Too few of the nodes that hold shares answered. ``answered`` of ``wanted``."""

    retry_may_help = True

    def __init__(self, message: str | None = None, *, answered: int = 0, wanted: int = 0) -> None:
        self.answered, self.wanted = answered, wanted
        super().__init__(message)


class SecretRefused(HoldfastError):
    """Secrets cannot be changed as asked."""


class SecretMoved(SecretRefused):
    """Somebody else changed the secret meanwhile: look at it and try again."""

    retry_may_help = True


class RotationFailed(SecretRefused):
    """A stage of a rotation failed; what was in force still is."""


class GossipError(HoldfastError):
    """Something among members failed."""


class BadPacket(GossipError):
    """What a peer sent is not what the protocol says: nothing of it was used.

    ``why``, to be counted by: short (it ends too early), type (a message nobody knows), value (a field cannot be
    that), large (beyond a limit), deep (wrapped too often), crc, compression, label (another cluster's, or none), key
    (no key of ours opens it, or it was changed on its way), plain (not encrypted, and it has to be), version.
    """

    def __init__(self, message: str | None = None, *, why: str = "value") -> None:
        self.why = why
        super().__init__(message)


class JoinFailed(GossipError):
    """None of the members that were named could be joined; the message says why, for each."""

    retry_may_help = True
    exit_code = 3


class NameLost(GossipError):
    """Another member has this one's name, and most others know that one: this member stopped."""


class KeyRefused(GossipError):
    """The keyring cannot be changed as asked."""


class KeyringSealed(GossipError):
    """The keyring's file cannot be opened: the passphrase or key file is another one, or the file is damaged."""

    exit_code = 3


class NotTrusted(GossipError):
    """Whoever said this is not trusted to say it: nothing of it was used.

    ``why``, to be counted by: signature (not by its signer, or said in another cluster), identity (a name, id or key
    that is not theirs), issuer (nobody we know vouches), period (too early or too late), role (not theirs to say),
    revoked, invite (spent, or for somebody else), challenge (an answer to another question), epoch (older than ours,
    or from nowhere), sealed (not for us, or not what was announced), replay, exhausted.
    """

    def __init__(self, message: str | None = None, *, why: str = "signature") -> None:
        self.why = why
        super().__init__(message)
