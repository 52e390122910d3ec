# SPDX-License-Identifier: Apache-2.0
"""The filter of the letters' pages: from the address to a ``Filter`` and back. Pure.

An empty field is one that was left empty in the form. Nobody's letters are asked for by ``assignee=-``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, get_args
from urllib.parse import urlencode

from ...deadletters.desk import Filter, State
from ..problem import Refused

#: Fields that are compared as they are, by their names in the address and in ``Filter``.
PLAIN: Final = {"stream": "logical", "group": "group", "reason": "reason", "error_type": "error_type",
                "fingerprint": "fingerprint", "category": "category", "severity": "severity", "key": "key",
                "message_id": "message_id", "text": "text"}
STATES: Final[tuple[State, ...]] = get_args(State)
SPANS: Final = {"1h": 3_600_000, "24h": 86_400_000, "7d": 604_800_000}
NOBODY: Final = "-"
_NAMES: Final = (*PLAIN, "state", "assignee", "since")


@dataclass(frozen=True)
class Wanted:
    """What was asked for, field by field."""

    fields: Mapping[str, str]

    def get(self, name: str) -> str:
        """One field; empty when it was not given."""
        return self.fields.get(name, "")

    def filter(self, now_ms: int) -> Filter:
        """As the desk takes it."""
        chosen: dict[str, Any] = {PLAIN[name]: value for name, value in self.fields.items() if name in PLAIN}
        state = self.get("state")
        if state in STATES:
            chosen["states"] = (state,)
        elif state != "any":
            chosen["open"] = state != "ended"
        if assignee := self.get("assignee"):
            chosen["assignee"] = "" if assignee == NOBODY else assignee
        if since := self.get("since"):
            chosen["since_ms"] = now_ms - SPANS[since]
        return Filter(**chosen)

    def query(self, **other: str) -> str:
        """For an address: these fields, with others in their place; an empty one is left out."""
        return urlencode({name: value for name, value in {**self.fields, **other}.items() if value})

    def words(self) -> str:
        """For people: what was narrowed down."""
        return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in self.fields.items())


def wanted_of(query: Mapping[str, str]) -> Wanted:
    """From an address's query, or a form. Raises Refused for what no field can be."""
    found = {name: value for name in _NAMES if (value := query.get(name, "").strip())}
    if any(len(value) > 255 or "\0" in value for value in found.values()):
        raise Refused(422, "a field of the filter has more than 255 characters, or a NUL")
    if found.get("state", "open") not in (*STATES, "open", "ended", "any"):
        raise Refused(422, "state: there is no such state")
    if found.get("since", "1h") not in SPANS:
        raise Refused(422, f"since: one of {', '.join(SPANS)}")
    return Wanted({name: value for name, value in found.items() if (name, value) != ("state", "open")})
