# SPDX-License-Identifier: Apache-2.0
"""PagerDuty, Events API v2: an alert an incident, by ``dedup_key``. Pure.

Source: PagerDuty's "Send an alert event" (202 is yes; 400 and others below 500 are no; 429 and 5xx: again later).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from ...._base.letter_text import iso
from ...._base.secret import Secret
from ..words import Said, links, text, title
from .channel import JSON_HEADERS, Answer, Given, Reply, Request, by_status

URL: Final = "https://events.pagerduty.com/v2/enqueue"
SUMMARY_MAX, KEY_MAX = 1024, 255
_ACTIONS: Final = {"opened": "trigger", "digest": "trigger", "test": "trigger", "acknowledged": "acknowledge",
                   "resolved": "resolve"}
_SEVERITIES: Final = ("critical", "error", "warning", "info")


@dataclass(frozen=True, slots=True)
class PagerDuty:
    """secrets: ``key``, the integration's routing key; ``url``, where it is not the usual one."""

    secrets: Mapping[str, Given]
    per_minute: int = 120
    kind: str = "pagerduty"
    keyed: bool = True
    gathers: bool = False
    acknowledges: bool = True

    def request(self, said: Said, known: Mapping[str, Secret[str]], now_ms: int) -> Request:
        one = said.incident
        event: dict[str, object] = {
            "routing_key": known["key"].reveal(), "event_action": _ACTIONS[said.what],
            "dedup_key": f"holdfast:{one.id}"[:KEY_MAX]}
        if _ACTIONS[said.what] == "trigger":
            found = links(said)
            event |= {"client": "Holdfast", "links": [{"href": href, "text": name} for name, href in found],
                      "payload": {
                          "summary": title(said)[:SUMMARY_MAX], "source": f"{one.logical}/{one.group}",
                          "severity": one.severity if one.severity in _SEVERITIES else "error",
                          "timestamp": iso(one.changed_ms or now_ms), "component": one.group, "group": one.logical,
                          "class": one.category, "custom_details": {"text": text(said), "letters": one.count}}}
            if found:
                event["client_url"] = found[0][1]
        return Request(known.get("url") or Secret(URL), msgspec.json.encode(event), JSON_HEADERS)

    def read(self, reply: Reply) -> Answer:
        return by_status(reply)
