# SPDX-License-Identifier: Apache-2.0
"""What a request for a step of a state machine may mean, what the caller gets for it, and what becomes of one that is
refused. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, Literal, TypeVar

from ...consume.outcome import Directive, Reject, Retry
from ...errors import IllegalTransition

#: A state: a string, or a member of an enumeration.
S = TypeVar("S", bound="str | Enum")

#: What a request may mean.
Kind = Literal["moved", "duplicate", "early", "illegal", "missing"]

#: What becomes of a request that is refused. ``park``: tried again, uncounted; ``retry``: tried again, counted;
#: ``reject``: buried with its reason; ``raise``: ``IllegalTransition``, for use outside of consumers.
Policy = Literal["park", "retry", "reject", "raise"]

POLICIES: tuple[Policy, ...] = ("park", "retry", "reject", "raise")


def word(state: object) -> str:
    """A state as it is written in texts, events and drawings. What a foreign hand has stored may be anything."""
    if isinstance(state, str):
        return str.__str__(state)  # of a StrEnum the value, without its class
    return state.name if isinstance(state, Enum) else str(state)


@dataclass(frozen=True, slots=True)
class Meaning(Generic[S]):
    """What a request for ``step`` means in ``state``. ``target``: where it leads, if it does. ``certain``: of a
    duplicate, False where the state alone cannot tell (see ``machine.py``)."""

    kind: Kind
    step: str
    state: S | None
    target: S | None = None
    certain: bool = True


@dataclass(frozen=True, slots=True)
class Moved(Generic[S]):
    """This call, and no other, took the step. True in a condition. ``version``: of the row after it."""

    step: str
    source: S
    target: S
    version: int

    def __bool__(self) -> Literal[True]:
        return True


@dataclass(frozen=True, slots=True)
class Duplicate(Generic[S]):
    """The step was taken before: nothing was changed. False in a condition. ``state`` and ``version`` as stored."""

    step: str
    state: S
    version: int
    certain: bool = True

    def __bool__(self) -> Literal[False]:
        return False


def explain(
    meaning: Meaning[Any], what: str, sources: Sequence[str | Enum], *, version: int | None = None,
    expected: int | None = None,
) -> str:
    """Why a request was refused, for the letter, the log and the error. ``what``: the row, as ``order 17``."""
    if meaning.state is None:
        return f"{meaning.step}: there is no {what}, or it has no state"
    is_now = f"{meaning.step}: {what} is {word(meaning.state)}"
    if expected is not None and version != expected:
        return f"{is_now} at version {version}, and the request was made for version {expected}"
    starts = " or ".join(map(word, sources))
    if meaning.kind == "early":
        return f"{is_now}, and has still to become {starts}"
    return f"{is_now}, and the step leads from {starts} only"


def refusal(policy: Policy, meaning: Meaning[Any], reason: str, park_s: float) -> Directive | IllegalTransition:
    """What to raise for a request that was refused."""
    if policy == "park":
        return Retry(after=park_s, counts=False, reason=reason)
    if policy == "retry":
        return Retry(reason=reason)
    if policy == "reject":
        return Reject(reason, code=f"transition.{meaning.kind}")
    return IllegalTransition(reason, why=meaning.kind, state=None if meaning.state is None else word(meaning.state))
