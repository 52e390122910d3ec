# SPDX-License-Identifier: Apache-2.0
"""What an error says about another attempt: a pure reading of the exception.

======== ==================================================================== =====================
kind     meaning                                                              what `decide` does
======== ==================================================================== =====================
transient  the world outside failed: time may mend it                         retry, counted
unknown    nobody has said                                                    retry, counted
permanent  the same message will fail the same way                            bury at once
busy       a store was busy, in conflict or moving: not the message's fault   retry, not counted
unserved   no handler here for this type or version                           park, not counted
lost       the delivery is not ours any more                                  hand back
======== ==================================================================== =====================

No built-in Python error is permanent by default, ``TypeError`` and ``KeyError`` included. They do point at a bug more
often than not, but the bug need not be in this message: a dependency answered ``null`` for an hour, or half of the
fleet runs the next release already. Retrying a hopeless message costs a few attempts; burying a good one costs a
person. Whoever knows better says so: ``Retry(on={TypeError: "bury"})``, a classifier, or ``retry_may_help`` on the
class of the error.

Drivers are recognised by name and SQLSTATE, not by import: this floor opens none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from .. import errors
from .._base.letter import Reason

Kind = Literal["transient", "unknown", "permanent", "busy", "unserved", "lost"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an error was taken for, and the reason a letter would carry. ``by`` names the rule, for whoever asks why."""

    kind: Kind
    reason: Reason = "handler_error"
    by: str = "default"


#: A user's own opinion: a kind, or None to leave the error to the next classifier and to the defaults.
Classifier = Callable[[BaseException], Literal["transient", "permanent", "busy", "unknown"] | None]

_OURS: tuple[tuple[type[BaseException], Verdict], ...] = (
    (errors.DecodeError, Verdict("permanent", "decode_error", "decode")),
    (errors.ValidationFailed, Verdict("permanent", "schema_invalid", "validate")),
    (errors.UnknownType, Verdict("unserved", "unknown_type", "type")),
    (errors.UnknownVersion, Verdict("unserved", "unknown_type", "version")),
    (errors.HandlerTimeout, Verdict("transient", "timeout", "timeout")),
    (errors.LeaseLost, Verdict("lost", "handler_error", "lease")),
    (errors.EffectBusy, Verdict("busy", "handler_error", "effect")),
    (errors.ReadsChanged, Verdict("busy", "handler_error", "effect")),
    # These blame the server or the settings, never the message: a missing right must not empty a stream into the
    # dead letters within seconds. So they are tried again although waiting alone seldom mends them.
    (errors.ServerError, Verdict("transient", "handler_error", "server")),
    (errors.ConfigurationError, Verdict("unknown", "handler_error", "configuration")),
    (errors.PartitionMismatch, Verdict("unknown", "handler_error", "configuration")),
    (errors.SecretUnavailable, Verdict("transient", "handler_error", "secret")),
)

_TRANSIENT = (ConnectionError, TimeoutError, InterruptedError, BlockingIOError)

#: SQLSTATE: serialization failure, deadlock, lock not available, and (class 55) object in use.
_BUSY_SQLSTATES = frozenset({"40001", "40P01", "55P03", "55006"})
#: Slot moves and servers between two roles, as redis-py and valkey-py name them.
_BUSY_NAMES = frozenset({"MovedError", "AskError", "TryAgainError", "ClusterDownError", "SlotNotCoveredError",
                         "BusyLoadingError", "MasterDownError"})
_BUSY_PACKAGES = frozenset({"redis", "valkey"})


def classify(error: BaseException, classifiers: Sequence[Classifier] = ()) -> Verdict:
    """What ``error`` says about another attempt. The user's classifiers are asked first, in order."""
    for classifier in classifiers:
        kind = classifier(error)
        if kind is not None:
            return Verdict(kind, _reason(error), getattr(classifier, "__name__", "classifier"))
    for cls, verdict in _OURS:
        if isinstance(error, cls):
            return verdict
    if isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        return classify(error.exceptions[0], classifiers)  # a TaskGroup wraps even a single failure
    return _foreign(error)


def _reason(error: BaseException) -> Reason:
    """The letter's reason for an error whose kind somebody else decided."""
    return next((verdict.reason for cls, verdict in _OURS if isinstance(error, cls)), "handler_error")


def _foreign(error: BaseException) -> Verdict:
    if is_busy(error):
        return Verdict("busy", "handler_error", "busy")
    may_help = getattr(error, "retry_may_help", None)
    if isinstance(may_help, bool):
        return Verdict("transient" if may_help else "permanent", "handler_error", "retry_may_help")
    if isinstance(error, _TRANSIENT):
        return Verdict("transient", "handler_error", "network")
    return Verdict("unknown")


def is_busy(error: BaseException) -> bool:
    """Was a store busy, in conflict or moving a slot? Looks at the error and at what SQLAlchemy wrapped."""
    return any(_says_busy(e) for e in (error, getattr(error, "orig", None)) if isinstance(e, BaseException))


def _says_busy(error: BaseException) -> bool:
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    if state in _BUSY_SQLSTATES:
        return True
    return any(cls.__name__ in _BUSY_NAMES and cls.__module__.partition(".")[0] in _BUSY_PACKAGES
               for cls in type(error).__mro__)
