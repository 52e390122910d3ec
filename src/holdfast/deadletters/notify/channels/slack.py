# SPDX-License-Identifier: Apache-2.0
"""Slack's incoming webhook, and whoever takes the same (Mattermost, Rocket.Chat, …). Pure.

Source: Slack's "Sending messages using incoming webhooks" and "Formatting text": three signs are escaped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from ...._base.letter_text import cut
from ...._base.secret import Secret
from ..words import Said, text, title
from .channel import JSON_HEADERS, Answer, Given, Reply, Request, by_status

#: Bytes of a message; Slack cuts at 40,000 characters.
TEXT_MAX: Final = 12_000


@dataclass(frozen=True, slots=True)
class Slack:
    """secrets: ``url``, the webhook."""

    secrets: Mapping[str, Given]
    per_minute: int = 50
    kind: str = "slack"
    keyed: bool = False
    gathers: bool = True
    acknowledges: bool = False

    def request(self, said: Said, known: Mapping[str, Secret[str]], now_ms: int) -> Request:
        told = f"*{title(said, escaped)}*\n" + text(said, escaped, lambda name, url: f"<{escaped(url)}|{name}>")
        return Request(known["url"], msgspec.json.encode({"text": cut(told, TEXT_MAX)}), JSON_HEADERS)

    def read(self, reply: Reply) -> Answer:
        return by_status(reply)


def escaped(value: str) -> str:
    """A value that calls nobody (``<!channel>``) and links nowhere."""
    return value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
