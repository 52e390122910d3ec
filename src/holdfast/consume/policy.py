# SPDX-License-Identifier: Apache-2.0
"""How often, how long and for which errors a message is tried again: a frozen value.

One number of attempts is kept per message, not one per error class: a rule of its own for ``ConnectionError`` says how
that number is read when a ``ConnectionError`` is what just happened. Separate counts would let two errors that take
turns retry twice as often as either allows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias

from .._base.clock import WallMs
from ..errors import ConfigurationError
from .backoff import Backoff, Exponential, Fixed
from .outcome import Retry

#: What a rule for an error class says: a policy of its own, bury at once, or retry as the surrounding policy says.
Rule: TypeAlias = "RetryPolicy | Literal['bury', 'retry']"


_BACKOFF = Exponential(base_s=1.0, cap_s=300.0, jitter="full")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """When to stop trying.

    attempts: runs of the handler, the first included; None: no limit. 5 outlasts a deploy or a restart of a dependency;
        more holds a poisonous message back from the dead letters for longer. Charged crashes are runs too.
    backoff: the wait between attempts. Default: exponential from 1 s to 300 s with full jitter.
    max_age_s: no attempt starts later than this after publishing, the first included; None: no limit. What a person
        replays is tried all the same.
    until: no attempt starts after this instant; must carry a time zone.
    on: rules per error class; the class nearest to the error's own in its MRO wins, whatever the order here.
    crash_limit: process deaths charged to a message before it is buried as ``crash_loop``.
    busy_s: mean wait after a busy or conflicting store and after ``Retry(counts=False)``, spread by ± 50 %.
    unknown_s: wait of messages whose type or version nobody here knows. Short notices a deploy sooner and costs reads.
    """

    attempts: int | None = 5
    backoff: Backoff = _BACKOFF
    max_age_s: float | None = None
    until: datetime | None = None
    on: tuple[tuple[type[BaseException], Rule], ...] = ()
    crash_limit: int = 3
    busy_s: float = 0.5
    unknown_s: float = 60.0

    def __post_init__(self) -> None:
        _check_count("attempts", self.attempts, "for a single attempt give 1, for no limit None")
        _check_count("crash_limit", self.crash_limit, "1 buries after the first process death")
        if not isinstance(self.backoff, Backoff):
            raise ConfigurationError(f"backoff={self.backoff!r}: give a back-off, for example Exponential(base_s=1)")
        if self.max_age_s is not None and not self.max_age_s > 0:
            raise ConfigurationError(f"max_age_s={self.max_age_s!r}: give seconds above 0, or None for no limit")
        if self.until is not None and self.until.tzinfo is None:
            raise ConfigurationError(f"until={self.until.isoformat()}: add a time zone, for example datetime.UTC")
        for name, wait_s in (("busy_s", self.busy_s), ("unknown_s", self.unknown_s)):
            if not (math.isfinite(wait_s) and wait_s > 0):
                raise ConfigurationError(f"{name}={wait_s!r}: give seconds above 0, or the message would spin")
        _check_rules(self.on)

    def rule_for(self, error: BaseException) -> Rule | None:
        """The rule of the class nearest to the error's own; None when no rule names it."""
        if not self.on:
            return None
        rules = dict(self.on)
        return next((rules[cls] for cls in type(error).__mro__ if cls in rules), None)

    @property
    def expires(self) -> bool:
        """Is there an age or a date after which no attempt starts?"""
        return self.max_age_s is not None or self.until is not None

    def time_left_s(self, age_s: float, now: WallMs) -> float:
        """Seconds during which another attempt may start; infinite when neither age nor date limits it."""
        left = math.inf if self.max_age_s is None else self.max_age_s - age_s
        if self.until is not None:
            left = min(left, self.until.timestamp() - now / 1000)
        return left


def policy_of(given: Retry | RetryPolicy | None) -> RetryPolicy:
    """The policy meant by ``retry=``. ``Retry(after=30)`` is a fixed wait of 30 s; what is left out is as in DEFAULT.

    Raises ConfigurationError when the parts contradict each other or are out of range.
    """
    if given is None:
        return DEFAULT
    if isinstance(given, RetryPolicy):
        return given
    if not isinstance(given, Retry):
        raise ConfigurationError(f"retry={given!r}: give Retry(attempts=…), a RetryPolicy, or None for the default")
    if given.after is not None and given.backoff is not None:
        raise ConfigurationError("Retry: `after` is a fixed back-off; give it or `backoff`, not both")
    parts: dict[str, Any] = {
        "attempts": given.attempts,
        "backoff": given.backoff if given.after is None else Fixed(given.after),
        "max_age_s": given.max_age_s,
        "until": given.until,
        "on": None if given.on is None else _rules_of(given.on),
    }
    return RetryPolicy(**{name: part for name, part in parts.items() if part is not None})


def _rules_of(on: Mapping[type[BaseException], Any]) -> tuple[tuple[type[BaseException], Rule], ...]:
    return tuple((cls, policy_of(rule) if isinstance(rule, Retry) else rule) for cls, rule in on.items())


def _check_count(name: str, value: int | None, hint: str) -> None:
    if value is None and name == "attempts":
        return
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigurationError(f"{name}={value!r}: give a whole number from 1; {hint}")


def _check_rules(rules: Iterable[tuple[Any, Any]]) -> None:
    seen: set[type] = set()
    for cls, rule in rules:
        if not (isinstance(cls, type) and issubclass(cls, BaseException)):
            raise ConfigurationError(f"retry rule for {cls!r}: rules are keyed by exception class")
        if not isinstance(rule, RetryPolicy) and rule not in ("bury", "retry"):
            raise ConfigurationError(f"retry rule for {cls.__name__}: {rule!r} is neither a policy, 'bury' nor 'retry'")
        if cls in seen:
            raise ConfigurationError(f"two retry rules for {cls.__name__}: keep one")
        seen.add(cls)


#: What a consumer gets that asks for nothing.
DEFAULT = RetryPolicy()
#: One attempt, then the dead letters. Busy stores, shutdown and take-over still bring the message back.
NEVER = RetryPolicy(attempts=1)
