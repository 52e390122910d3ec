# SPDX-License-Identifier: Apache-2.0
"""Who may do what to which secret: rules of roles, and what follows from them.

Nothing is allowed unless a rule allows it, and what one rule denies no other allows: the order of rules says nothing.

::

    rules of somebody's roles ─▶ those that fit ┬ one denies ─────────────▶ denied
      (path, action, time)                      ├ none allows ────────────▶ denied
                                                ├ approvals are missing ──▶ denied, and how many are wanted
                                                └ else ───────────────────▶ allowed

Of several rules that allow, the one that wants the most approvals counts: a rule for everything does not undo one for
production. A path is that of names, part by part: ``*`` stands for one part, ``**`` at the end for one part or more.
Pure; ``reading`` makes policies from files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from ..._base.clock import WallMs

MINUTE_MS: Final = 60_000
DAY_MS: Final = 86_400_000
#: One part of a path, and the rest of it.
ONE: Final = "*"
REST: Final = "**"
#: Weekdays as policies write them; 1970 began on a Thursday.
DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_EPOCH_DAY: Final = 3


class Action(Enum):
    """What can be done. READ: a value. LIST: names, and what versions there are. WRITE: a new value, in force at once,
    labels, delete and undelete. ROTATE: a version under another label, and labels; WRITE includes it. DESTROY: for
    good. POLICY: tokens, policies and the audit. APPROVE: what somebody else asks for.

    A rule that denies WRITE says nothing of ROTATE, which can bring a new value into force in two steps: where nobody
    is to change anything, deny both."""

    READ = "read"
    LIST = "list"
    WRITE = "write"
    ROTATE = "rotate"
    DESTROY = "destroy"
    POLICY = "policy"
    APPROVE = "approve"


@dataclass(frozen=True)
class Glob:
    """A pattern of names. parts: as it was written, between slashes."""

    parts: tuple[str, ...]

    def fits(self, name: str) -> bool:
        """Is the name one that it means?"""
        parts = name.split("/")
        if self.parts[-1] == REST:
            if len(parts) < len(self.parts):
                return False
            parts = parts[:len(self.parts) - 1]
            wanted = self.parts[:-1]
        else:
            wanted = self.parts
        return len(parts) == len(wanted) and all(one in (ONE, part) for one, part in zip(wanted, parts, strict=True))

    def __str__(self) -> str:
        return "/".join(self.parts)


@dataclass(frozen=True)
class Hours:
    """Times of the day, and days, on which a rule holds; UTC. since, until: minutes of the day, until not included;
    with since after until, over midnight, and the day is the one on which it began. days: 0 is Monday."""

    since: int = 0
    until: int = 1_440
    days: frozenset[int] = frozenset(range(7))

    def hold(self, now: WallMs) -> bool:
        """Is it such a time?"""
        day, minute = divmod(now // MINUTE_MS, 1_440)
        if self.since <= self.until:
            return self.since <= minute < self.until and (day + _EPOCH_DAY) % 7 in self.days
        if minute >= self.since:
            return (day + _EPOCH_DAY) % 7 in self.days
        return minute < self.until and (day - 1 + _EPOCH_DAY) % 7 in self.days


@dataclass(frozen=True)
class Rule:
    """Of a role. allow: else it denies. since, until: ms since 1970, between which it holds, until not included; 0 for
    open ends. approvals: of so many others that allowing needs."""

    paths: tuple[Glob, ...]
    actions: frozenset[Action]
    allow: bool = True
    approvals: int = 0
    hours: Hours | None = None
    since: int = 0
    until: int = 0
    where: str = ""

    def fits(self, action: Action, name: str, now: WallMs) -> bool:
        """Does it say anything of this?"""
        meant = action in self.actions or (self.allow and action is Action.ROTATE and Action.WRITE in self.actions)
        return (meant and any(path.fits(name) for path in self.paths)
                and self.since <= now and (not self.until or now < self.until)
                and (self.hours is None or self.hours.hold(now)))


@dataclass(frozen=True)
class Asked:
    """roles: those of whoever asks. approved: names of those who approved it; one's own counts for nothing."""

    who: str
    roles: frozenset[str]
    action: Action
    name: str
    approved: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Verdict:
    """allowed: it may be done. why: what decided, for the audit and for whoever asks. wanted: approvals that it needs,
    those that are there included."""

    allowed: bool
    why: str
    wanted: int = 0


@dataclass(frozen=True)
class Policy:
    """Rules by role. A role that has none may do nothing."""

    roles: Mapping[str, tuple[Rule, ...]] = field(default_factory=dict)

    def judge(self, asked: Asked, now: WallMs) -> Verdict:
        """What may be done. Roles that the policy does not know allow nothing."""
        fitting = [rule for role in sorted(asked.roles) for rule in self.roles.get(role, ())
                   if rule.fits(asked.action, asked.name, now)]
        denying = next((rule for rule in fitting if not rule.allow), None)
        if denying is not None:  # guard: what one rule denies no other allows
            return Verdict(False, f"{denying.where or 'a rule'} denies it")
        if not fitting:  # guard: what no rule allows is denied
            return Verdict(False, "no rule allows it")
        strictest = max(fitting, key=lambda rule: rule.approvals)
        others = len(asked.approved - {asked.who})  # guard: nobody approves what he asks for himself
        if others < strictest.approvals:
            return Verdict(False, f"{strictest.where or 'a rule'} wants {strictest.approvals} approvals of others, and "
                                  f"{others} are there", strictest.approvals)
        return Verdict(True, strictest.where or "a rule", strictest.approvals)


def matrix(policy: Policy, names: Iterable[str], now: WallMs) -> dict[tuple[str, Action, str], Verdict]:
    """What each role alone may do to each name, with nobody's approval: for people to look at, and for tests."""
    listed = list(names)
    return {(role, action, name): policy.judge(Asked("", frozenset((role,)), action, name), now)
            for role in policy.roles for action in Action for name in listed}
