# SPDX-License-Identifier: Apache-2.0
"""What a handler may answer, and what an attempt came to.

A handler that returns anything else than a directive has succeeded. A directive may be returned or raised::

    raise Retry(after=30)            # try this message again in 30 s; counts as an attempt
    raise Reject(reason="no such customer")   # bury it now
    return Drop(reason="superseded")          # acknowledge without effect, and count it

``Retry`` is also how a consumer is given its policy: ``@hf.consumer(..., retry=Retry(attempts=5))``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .contract import Rider

Stage = Literal["decode", "validate", "dedupe", "handle", "commit", "ack"]


class Directive(Exception):
    """Base of what a handler may raise or return to steer what happens to its message. Not an error."""


class Retry(Directive):
    """Try again: as a directive for one message, or as the policy of a consumer (see ``consume.policy``).

    As a directive only ``after`` (seconds; None: as the policy says), ``reason`` and ``counts`` matter;
    ``counts=False`` does not use up an attempt.
    """

    def __init__(
        self,
        after: float | None = None,
        *,
        reason: str | None = None,
        counts: bool = True,
        attempts: int | None = None,
        backoff: Any = None,
        max_age_s: float | None = None,
        until: Any = None,
        on: Mapping[type[BaseException], Any] | None = None,
    ) -> None:
        super().__init__(reason or "the handler asked for another attempt")
        self.after = after
        self.reason = reason
        self.counts = counts
        self.attempts = attempts
        self.backoff = backoff
        self.max_age_s = max_age_s
        self.until = until
        self.on = on


class Reject(Directive):
    """Bury this message now: no attempt will help. ``reason`` is kept in the letter; ``code`` classifies it."""

    def __init__(self, reason: str, *, code: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code


class Drop(Directive):
    """Acknowledge this message without effect; counted, and named in the ``dropped`` metric."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Done:
    """The handler succeeded. ``duplicate``: the effect was there already and the handler did not run. ``rider``: its
    effect is to go in with the acknowledgement."""

    __slots__ = ("duplicate", "rider")

    def __init__(self, duplicate: bool = False, rider: Rider | None = None) -> None:
        self.duplicate = duplicate
        self.rider = rider


#: The common answer, shared: one a message would be one allocation a message.
DONE = Done()


@dataclass(frozen=True, slots=True)
class Failed:
    """The attempt raised ``error`` at ``stage``. ``seconds``: how long it ran."""

    error: BaseException
    stage: Stage = "handle"
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The attempt was cut off by us (shutdown, lost lease) and says nothing about the message."""

    cause: str


Outcome = Done | Failed | Interrupted | Retry | Reject | Drop
