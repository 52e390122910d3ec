# SPDX-License-Identifier: Apache-2.0
r"""DingTalk's group robot: a signed address, a message in its Markdown. Pure.

Source: DingTalk's "Custom robot access" (sign = Base64 of HMAC-SHA256 over ``timestamp\nsecret``, within an hour of
their clock; 20 messages a minute, and whoever sends more is shut out for ten).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

import msgspec

from ...._base.letter_text import cut
from ...._base.secret import Secret
from ..words import Said, text, title
from .channel import JSON_HEADERS, Answer, Given, Reply, Request, by_code

#: Bytes of a message.
TEXT_MAX: Final = 18_000
#: Sent too often, with how long they shut out whoever does, in seconds.
_LIMITED: Final = {130101: 600.0, 410100: 600.0}
_MARKUP: Final = re.compile(r"([\\`*_{}\[\]()#+!|<>~@])")


@dataclass(frozen=True, slots=True)
class DingTalk:
    """secrets: ``url``, the robot's webhook with its access token; ``sign``, its secret, if it asks for signatures."""

    secrets: Mapping[str, Given]
    per_minute: int = 20
    kind: str = "dingtalk"
    keyed: bool = False
    gathers: bool = True
    acknowledges: bool = False

    def request(self, said: Said, known: Mapping[str, Secret[str]], now_ms: int) -> Request:
        url = known["url"].reveal()
        if "sign" in known:
            url += ("&" if "?" in url else "?") + signed(known["sign"], now_ms)
        body = {"msgtype": "markdown", "at": {"isAtAll": False}, "markdown": {
            "title": cut(title(said), 200), "text": cut(_markdown(said), TEXT_MAX)}}
        return Request(Secret(url), msgspec.json.encode(body), JSON_HEADERS)

    def read(self, reply: Reply) -> Answer:
        return by_code(reply, _LIMITED)


def signed(secret: Secret[str], now_ms: int) -> str:
    """The signature of this moment, as a part of the address."""
    key = secret.reveal()
    digest = hmac.new(key.encode(), f"{now_ms}\n{key}".encode(), hashlib.sha256).digest()
    return f"timestamp={now_ms}&sign={quote(base64.b64encode(digest).decode(), safe='')}"


def escaped(value: str) -> str:
    """A value that is no markup and calls nobody."""
    return _MARKUP.sub(r"\\\1", value)


def _markdown(said: Said) -> str:
    told = text(said, escaped, lambda name, url: f"[{name}]({url})")
    return f"#### {title(said, escaped)}\n\n" + told.replace("\n", "\n\n")
