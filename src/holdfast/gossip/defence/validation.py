# SPDX-License-Identifier: Apache-2.0
"""What a topic's user says of a message, before it is handed on or passed on.

::

    ACCEPT   hand on, pass on
    IGNORE   do neither; nobody is to blame (old, of no interest, cannot be judged now)
    REJECT   do neither, and the peer that brought it pays

A false message so goes one hop: the first honest member stops it. All members have to judge alike, or honest peers pay
for a disagreement; what depends on the time or on what a member happens to know is for IGNORE.

Validators cost time, and whoever sends much makes this member spend it. So each topic has an account of seconds: what
validators used is taken off, and while it is overdrawn messages of the topic are ignored unjudged, and counted. Time is
measured by a ``Stopwatch`` that is given; a validator that waits does it by hand, with ``may`` and ``account``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import msgspec

from ...errors import ConfigurationError
from .buckets import Bucket

#: Seconds on a clock that does not go back. ``time.perf_counter`` fits.
Stopwatch = Callable[[], float]


class Verdict(Enum):
    """What becomes of a message."""

    ACCEPT = "accept"
    IGNORE = "ignore"
    REJECT = "reject"


class Judged(msgspec.Struct, frozen=True):
    """why: a short reason, to be counted by. penalty: points that the peer pays on a REJECT, beside those for an
    invalid message: 0 for none."""

    verdict: Verdict
    why: str = ""
    penalty: float = 0.0


class Letter(msgspec.Struct, frozen=True):
    """What a validator sees. peer: who brought it; origin: who said it, by its signature; empty where nobody signed."""

    topic: str
    payload: bytes
    peer: str
    origin: str = ""


Validator = Callable[[Letter], Judged | Verdict]


@dataclass(frozen=True)
class Accounts:
    """share: of each second, what a topic's validators may use; burst_s: at once. 10 % for each topic: ten busy topics
    fill a core. Price of less: messages are ignored in a burst; of more: a flood takes this member's time."""

    share: float = 0.1
    burst_s: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1 or self.burst_s <= 0:
            raise ConfigurationError("validators get a share of each second above 0 and up to 1, and a burst above 0")


class Validators:
    """By topic; the topic ``*`` stands for those without their own. Topics without any are accepted."""

    __slots__ = ("_accounts", "_stopwatch", "_validators", "accounts", "counts")

    def __init__(self, accounts: Accounts, stopwatch: Stopwatch | None = None) -> None:
        self.accounts = accounts
        self._stopwatch = stopwatch or (lambda: 0.0)
        self._validators: dict[str, tuple[Validator, ...]] = {}
        self._accounts: dict[str, Bucket] = {}
        #: By ``verdict`` or ``verdict: why``.
        self.counts: Counter[str] = Counter()

    def add(self, topic: str, validator: Validator) -> None:
        """One more for a topic; all of them have to accept, and the first that does not has the word."""
        self._validators[topic] = (*self._validators.get(topic, ()), validator)

    def judge(self, letter: Letter, now: float) -> Judged:
        """Asks the topic's validators."""
        name = letter.topic if letter.topic in self._validators else "*"
        validators = self._validators.get(name, ())
        if not validators:
            return self._count(Judged(Verdict.ACCEPT))
        if not self.may(name, now):
            return self._count(Judged(Verdict.IGNORE, "validators are busy"))
        began = self._stopwatch()
        judged = _ask(validators, letter)
        self.account(name, self._stopwatch() - began, now)
        return self._count(judged)

    def may(self, topic: str, now: float) -> bool:
        """Has the topic time left?"""
        return self._account(topic, now).level(now) > 0  # guard: validators have so much time and no more

    def account(self, topic: str, took_s: float, now: float) -> None:
        """A validator of the topic used so many seconds."""
        self._account(topic, now).force(max(0.0, took_s), now)

    def _account(self, topic: str, now: float) -> Bucket:
        # Topics are those with validators: senders cannot invent accounts.
        name = topic if topic in self._validators else "*"
        bucket = self._accounts.get(name)
        if bucket is None:
            self._accounts[name] = bucket = Bucket(self.accounts.share, self.accounts.burst_s, now)
        return bucket

    def _count(self, judged: Judged) -> Judged:
        self.counts[f"{judged.verdict.value}: {judged.why}" if judged.why else judged.verdict.value] += 1
        return judged


def _ask(validators: tuple[Validator, ...], letter: Letter) -> Judged:
    judged = Judged(Verdict.ACCEPT)
    for validator in validators:
        try:
            said = validator(letter)
        except Exception:  # noqa: BLE001 - a user's code: its fault is not the peer's, and lets nothing pass
            return Judged(Verdict.IGNORE, "the validator failed")
        judged = Judged(said) if isinstance(said, Verdict) else said
        if judged.verdict is not Verdict.ACCEPT:
            break
    return judged
