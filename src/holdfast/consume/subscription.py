# SPDX-License-Identifier: Apache-2.0
"""What a consumer was asked to be: one frozen value from decorator to loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from ..errors import ConfigurationError
from .breaker import BreakerSettings
from .classify import Classifier
from .contract import Effect
from .limits_file import Limits
from .middleware import Middleware
from .policy import DEFAULT, RetryPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """One consumer: which stream and group, and how its handlers are run.

    policy: when to stop trying. effect: makes effects happen once. limits: how much it may use (see ``Limits``).
    batch: its handlers take lists. ordered: messages with the same key run one after the other, in the order of the
    stream; on_dead_head: what follows a dead letter with the same key runs, or is buried too.
    breaker: pause reading while most attempts fail because the world does; None: never.
    """

    stream: str
    group: str
    policy: RetryPolicy = DEFAULT
    effect: Effect | None = None
    middleware: Sequence[Middleware] = ()
    classifiers: Sequence[Classifier] = ()
    limits: Limits = field(default_factory=Limits)
    batch: bool = False
    ordered: bool = False
    on_dead_head: Literal["continue", "bury-following"] = "continue"
    breaker: BreakerSettings | None = None

    def __post_init__(self) -> None:
        if not self.stream or not self.group:
            raise ConfigurationError("a consumer needs the name of a stream and of a group")
        if self.batch and self.middleware:
            raise ConfigurationError("middleware wraps single attempts: a batch handler cannot have any")
        if self.batch and self.ordered:
            raise ConfigurationError("an ordered stream runs one message of a key at a time: it cannot be batched")
        if self.on_dead_head not in ("continue", "bury-following"):
            raise ConfigurationError(f"on_dead_head={self.on_dead_head!r}: use 'continue' or 'bury-following'")
