# SPDX-License-Identifier: Apache-2.0
"""What a channel is: it makes a request of what is said, and reads the answer. Pure.

Addresses and keys are secrets until the moment they are sent. Whatever an answer says is told by its status and a code;
its text never, since providers like to repeat what they were sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

import msgspec

from ...._base.secret import Secret, SecretRef
from ...._base.typed import from_json
from ..words import Said

#: What came of a message. limited: the provider wants none for a while; refused: trying again changes nothing.
Outcome = Literal["sent", "failed", "limited", "refused"]
Given = Secret[str] | SecretRef


@dataclass(frozen=True, slots=True)
class Answer:
    """why: without secrets. again_s: when the provider wants to be asked again. doubt: it may have arrived."""

    outcome: Outcome
    why: str = ""
    again_s: float = 0.0
    doubt: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """One POST. Its body may hold a key, so it prints nothing."""

    url: Secret[str]
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Reply:
    """What the provider answered."""

    status: int
    body: bytes = field(default=b"", repr=False)
    after_s: float | None = None


class Channel(Protocol):
    """One way to people.

    keyed: a repetition is known as one by its key. gathers: several incidents may stand in one message; without it each
    has its own. acknowledges: it is told so. per_minute: messages that it takes.
    """

    kind: str
    keyed: bool
    gathers: bool
    acknowledges: bool
    per_minute: int
    secrets: Mapping[str, Given]

    def request(self, said: Said, known: Mapping[str, Secret[str]], now_ms: int) -> Request:
        """The message. known: ``secrets``, resolved."""
        ...

    def read(self, reply: Reply) -> Answer:
        """What came of it."""
        ...


JSON_HEADERS: Final = {"Content-Type": "application/json; charset=utf-8"}


def by_status(reply: Reply) -> Answer:
    """What HTTP says by itself."""
    if 200 <= reply.status < 300:
        return Answer("sent")
    why = f"HTTP {reply.status}"
    if reply.status == 429:
        return Answer("limited", why, reply.after_s or 60.0)
    if reply.status >= 500 or reply.status in (408, 425):
        return Answer("failed", why, reply.after_s or 0.0, doubt=reply.status >= 500)
    return Answer("refused", why)


def by_code(reply: Reply, limited: Mapping[int, float], passing: tuple[int, ...] = (-1,)) -> Answer:
    """What robots say that answer 200 to everything: ``errcode`` 0 is yes."""
    answer = by_status(reply)
    if answer.outcome != "sent":
        return answer
    try:
        code = from_json(reply.body, dict[str, Any]).get("errcode")
    except msgspec.MsgspecError:
        return Answer("refused", "this is not the robot's answer")
    if code == 0:
        return Answer("sent")  # guard: 200 alone is no yes
    if not isinstance(code, int):
        return Answer("refused", "no errcode")
    if code in limited:
        return Answer("limited", f"errcode {code}", limited[code])
    return Answer("failed" if code in passing else "refused", f"errcode {code}")
