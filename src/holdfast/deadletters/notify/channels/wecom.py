# SPDX-License-Identifier: Apache-2.0
"""WeCom's group robot: Markdown of at most 4096 bytes, or text of at most 2048. Pure.

Source: WeCom's "Group robot configuration" (``content`` in UTF-8; 20 messages a minute). What is longer is cut at a
character, never within one: a robot refuses half of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec

from ...._base.letter_text import cut
from ...._base.secret import Secret
from ..words import Said, text, title
from .channel import JSON_HEADERS, Answer, Given, Reply, Request, by_code

#: Bytes of a message.
MARKDOWN_MAX, TEXT_MAX = 4096, 2048
_LIMITED: Final = {45009: 60.0, 45033: 60.0}
_MARKUP: Final = re.compile(r"([\\`*_\[\]()#])")
_TAGS: Final = {"<": "＜", ">": "＞", "&": "＆", "@": "＠"}


@dataclass(frozen=True, slots=True)
class WeCom:
    """secrets: ``url``, the robot's webhook with its key. style: markdown, or text for clients that show none."""

    secrets: Mapping[str, Given]
    style: Literal["markdown", "text"] = "markdown"
    per_minute: int = 20
    kind: str = "wecom"
    keyed: bool = False
    gathers: bool = True
    acknowledges: bool = False

    def request(self, said: Said, known: Mapping[str, Secret[str]], now_ms: int) -> Request:
        if self.style == "text":
            content = cut(f"{title(said)}\n{text(said)}", TEXT_MAX)  # guard: no more bytes than it takes
            body: dict[str, Any] = {"msgtype": "text", "text": {"content": content}}
        else:
            told = f"**{title(said, escaped)}**\n" + text(said, escaped, lambda name, url: f"[{name}]({url})")
            body = {"msgtype": "markdown", "markdown": {"content": cut(told, MARKDOWN_MAX)}}
        return Request(known["url"], msgspec.json.encode(body), JSON_HEADERS)

    def read(self, reply: Reply) -> Answer:
        return by_code(reply, _LIMITED)


def escaped(value: str) -> str:
    """A value that is no markup and calls nobody. There is no escape for a tag, so its signs become wide ones."""
    return _MARKUP.sub(r"\\\1", "".join(_TAGS.get(c, c) for c in value))
