# SPDX-License-Identifier: Apache-2.0
"""What is to be done with a letter. The door that others use: rules give it, the service acts on it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from .strategies import Strategy

Severity = Literal["critical", "error", "warning", "info"]
Action = Literal["retry", "repair", "manual", "archive", "discard", "notify"]

SEVERITIES: Final[tuple[Severity, ...]] = ("critical", "error", "warning", "info")
#: What each action does, for people.
ACTIONS: Final[dict[Action, str]] = {
    "retry": "sent back to its group, as the retry strategy says",
    "repair": "mended by its repairs, then sent back; a letter that none of them mends waits for a person",
    "manual": "waits for a person",
    "archive": "kept at the desk and taken off the dead letters",
    "discard": "taken off the dead letters once the time for undoing it is over; the desk has it until the clean-up",
    "notify": "somebody is told, whatever `notify` says, and it waits for a person",
}
CATEGORIES: Final = ("transient", "permanent", "unknown")
BUSINESS: Final = "business:"
#: Rule of letters for which there is none.
NO_RULE: Final = "(none)"


@dataclass(frozen=True, slots=True)
class Mending:
    """One repair, by name, with what it is told."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """category: transient, permanent, unknown or business:<code>. rule: the name of the one that matched. notify: tell
    somebody when it comes to waiting for a person. label: for people, and for whoever routes notifications."""

    category: str = "unknown"
    severity: Severity = "error"
    rule: str = NO_RULE
    action: Action = "manual"
    strategy: Strategy = field(default_factory=Strategy)
    repairs: tuple[Mending, ...] = ()
    notify: bool = True
    label: str = ""

    @property
    def sends_back(self) -> bool:
        """Does it end in a replay?"""
        return self.action in ("retry", "repair")
