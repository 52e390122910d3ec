# SPDX-License-Identifier: Apache-2.0
"""Rules in their order: the first that matches says what is done. Open this one first. Pure.

``RuleSet.judge(facts)`` is all that the service asks of it. A set ends with the built-in rules (``builtin.py``) unless
its file says otherwise, and with ``unknown``: a person looks at what nobody has thought of.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from .breaker import BreakerRules
from .conditions import Condition
from .facts import Facts
from .verdict import BUSINESS, Verdict


@dataclass(frozen=True, slots=True)
class Rule:
    """One of them. place: where it stands, for people (``rules.yaml rule 3``)."""

    name: str
    conditions: tuple[Condition, ...]
    verdict: Verdict
    place: str = ""

    def matches(self, facts: Facts) -> bool:
        """Do all its conditions hold? A rule without any always matches."""
        return all(condition.holds(facts) for condition in self.conditions)

    def missed(self, facts: Facts) -> str:
        """The first condition that does not hold; empty when it matches."""
        return next((condition.name for condition in self.conditions if not condition.holds(facts)), "")


@dataclass(frozen=True, slots=True)
class RuleSet:
    """All rules that are in force. origin: where they come from, for people. breaker: when replays of a category
    pause. notify: what ``deadletters.notify`` made of the section of that name; None: there is none, or nobody who
    reads it."""

    rules: tuple[Rule, ...]
    origin: str = ""
    fallback: Verdict = field(default_factory=Verdict)
    breaker: BreakerRules = field(default_factory=BreakerRules)
    notify: Any = field(default=None, repr=False)

    def judge(self, facts: Facts) -> Verdict:
        """What the first rule that matches says."""
        rule = next((rule for rule in self.rules if rule.matches(facts)), None)  # guard: first match
        verdict = self.fallback if rule is None else rule.verdict
        if verdict.category == BUSINESS:  # the code is the one that the application gave
            return replace(verdict, category=f"{BUSINESS}{facts.code or 'unnamed'}")
        return verdict

    def named(self, name: str) -> Verdict | None:
        """What the rule of this name says, for a letter that was judged before: its strategy, its repairs."""
        return next((rule.verdict for rule in self.rules if rule.name == name), None)
