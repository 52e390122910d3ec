# SPDX-License-Identifier: Apache-2.0
"""From what a handler answered or raised to outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import BadHandler, DecodeError, UnknownType, UnknownVersion
from .outcome import DONE, Done, Drop, Failed, Outcome, Reject, Retry, Stage

_DIRECTIVES = (Retry, Reject, Drop)


def outcome_of(answer: Any) -> Outcome:
    """Of one message: a directive means what it says, and so does the effect's word; anything else is success."""
    return answer if isinstance(answer, (*_DIRECTIVES, Done)) else DONE


def outcome_of_error(error: BaseException, stage: Stage = "handle", seconds: float = 0.0) -> Outcome:
    """Of an exception: a raised directive is no failure."""
    return error if isinstance(error, _DIRECTIVES) else Failed(error, stage, seconds)


def outcomes_of(answer: Any, count: int, *, name: str = "the handler") -> Sequence[Outcome]:
    """Of a batch: None, or one directive for all; or a list with None, a directive or an exception for each member.

    Raises BadHandler when the list has another length: guessing whose outcome is whose would acknowledge what failed.
    """
    if answer is None:
        return [DONE] * count
    if isinstance(answer, _DIRECTIVES):
        return [answer] * count
    if not isinstance(answer, (list, tuple)):
        raise BadHandler(f"{name} takes a batch and answered a {type(answer).__name__}: answer None, or a list with "
                         f"one outcome a message")
    if len(answer) != count:
        raise BadHandler(f"{name} was given {count} messages and answered {len(answer)} outcomes: answer one for "
                         f"each, in their order")
    return [outcome_of_error(member) if isinstance(member, Exception) else DONE for member in answer]


def stage_of(error: BaseException) -> Stage:
    """The stage at which loading a body failed."""
    return "decode" if isinstance(error, DecodeError | UnknownType | UnknownVersion) else "validate"
