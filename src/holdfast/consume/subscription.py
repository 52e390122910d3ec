# SPDX-License-Identifier: Apache-2.0
"""What a consumer was asked to be: one frozen value from decorator to loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ..errors import ConfigurationError
from .classify import Classifier
from .contract import Delivery, Effect
from .policy import DEFAULT, RetryPolicy

CallNext = Callable[[Delivery], Awaitable[Any]]
Middleware = Callable[[Delivery, CallNext], Awaitable[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """One consumer: which stream and group, and how its handlers are run.

    concurrency: attempts that run at the same time in this process. More hides waiting; for work that does not wait it
        only holds more messages.
    timeout_s: an attempt longer than this is cancelled and counts as failed; None: never. A plain (threaded) handler
        cannot be cancelled: it is reported, and keeps its message.
    prefetch_s, prefetch_max: read ahead for this many seconds of work at the rate seen, and never more entries than this.
        More keeps handlers busy through a slow server; what was read ahead waits for a take-over if the process dies.
    batch_size, batch_wait_s: a batch handler gets at most so many messages, and waits at most so long for them.
    rate_per_s: attempts started per second in this process; None: unlimited.
    ordered: messages with the same key run one after the other, in the order of the stream.
    on_dead_head: in an ordered stream, what follows a dead letter with the same key: runs, or is buried too.
    """

    stream: str
    group: str
    policy: RetryPolicy = DEFAULT
    effect: Effect | None = None
    middleware: Sequence[Middleware] = ()
    classifiers: Sequence[Classifier] = ()
    concurrency: int = 100
    timeout_s: float | None = 60.0
    prefetch_s: float = 1.0
    prefetch_max: int = 1000
    batch_size: int = 100
    batch_wait_s: float = 0.05
    rate_per_s: float | None = None
    ordered: bool = False
    on_dead_head: Literal["continue", "bury-following"] = "continue"
    held_max: int = 10_000
    breaker: Any = None
    budget: Any = None
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.stream or not self.group:
            raise ConfigurationError("a consumer needs the name of a stream and of a group")
        for name in ("concurrency", "prefetch_max", "batch_size", "held_max"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{name} must be at least 1, not {getattr(self, name)}")
        for name in ("timeout_s", "rate_per_s"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ConfigurationError(f"{name} must be positive or None, not {value}")
