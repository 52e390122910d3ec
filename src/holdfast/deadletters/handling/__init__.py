# SPDX-License-Identifier: Apache-2.0
"""What is to be done with a dead letter: rules, verdicts, retry strategies, the breaker. Pure, but for the file's
reader.

::

    rules = load_rules(Path("rules.yaml"))
    verdict = rules.judge(facts_of(letter, stream="orders"))
    verdict.category, verdict.action                  # ('transient', 'retry')

Inside::

    rules.py       a rule, and the first that matches. Open this one first
    facts.py       what a rule looks at; payload.py: fields of a message, by path
    conditions.py  what it asks; patterns.py: in linear time
    verdict.py     what comes out
    strategies.py  when a letter is sent back by itself
    breaker.py     when a whole category is not
    reading.py     from tables to rules, with everything that is wrong; builtin.py: the rules without a file
    file.py        a file, and its changes
    doors.py       what the service asks of whoever mends and whoever tells
"""

from __future__ import annotations

from .breaker import Breaker, BreakerRules
from .doors import TALES, EventTeller, Mended, Mender, NoMender, Tale, Teller
from .facts import Facts, facts_of
from .file import Rules, load_rules
from .payload import Payload
from .reading import builtin_rules, rule_set
from .rules import Rule, RuleSet
from .strategies import Strategy
from .verdict import ACTIONS, Mending, Verdict

__all__ = [
    "ACTIONS", "TALES", "Breaker", "BreakerRules", "EventTeller", "Facts", "Mended", "Mender", "Mending", "NoMender",
    "Payload", "Rule", "RuleSet", "Rules", "Strategy", "Tale", "Teller", "Verdict", "builtin_rules", "facts_of",
    "load_rules", "rule_set",
]
