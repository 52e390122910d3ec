# SPDX-License-Identifier: Apache-2.0
"""What a framework's own words mean here: its errors, its acknowledgements. Pure.

================================= ====================================================================================
said by the framework             means
================================= ====================================================================================
the handler ended, ``ack``        done
an error                          the error itself, so that the retry policy and the classifiers decide
``reject``                        dead letter, now. FastStream and taskiq leave it pending, or drop it
``nack``                          another attempt, by policy
``skip``, ``requeue``, no result  acknowledged without effect, and counted as dropped
arguments that do not fit         dead letter as ``schema_invalid``: the same message will not fit the next time either
cancelled, the consumer stopped   handed back without an attempt
================================= ====================================================================================

Errors are told by name and package, so that this file needs neither framework.
"""

from __future__ import annotations

from typing import Literal

from ..consume.outcome import Drop, Reject, Retry
from ..errors import ValidationFailed

#: How a message stands with its framework when the handler is through; "nothing": nobody has said anything.
Status = Literal["ack", "nack", "reject", "nothing"]

#: Check values for others, and so are not who asked.
_CHECKERS = frozenset({"pydantic", "pydantic_core", "msgspec"})
_PACKAGES = frozenset({"faststream", "taskiq", "fast_depends"})


def meant(error: BaseException) -> BaseException | None:
    """What is raised in the place of a handler's error; None: it was a way of saying that all is well."""
    name = next((cls.__name__ for cls in type(error).__mro__ if cls.__module__.partition(".")[0] in _PACKAGES), "")
    wanted: BaseException | None = error
    if does_not_fit(error):
        return ValidationFailed(_fields(error))
    match name:
        case "AckMessage":
            wanted = None
        case "RejectMessage" | "TaskRejectedError":
            wanted = Reject(reason="the handler rejected it")
        case "NackMessage":
            wanted = Retry(reason="the handler said nack")
        case "SkipMessage" | "NoResultError":
            wanted = Drop(reason="the handler left it out, or sent it on")
        case "StopConsume" | "StopApplication":
            wanted = handed_back("the handler stopped its consumer")
    return wanted


def standing(status: Status, *, manual: bool) -> BaseException | None:
    """What is raised for a handler that ended without an error; None: it is done.

    manual: the handler was to say ``ack`` itself. One that did not has not said that it is done.
    """
    match status:
        case "ack":
            return None
        case "reject":
            return Reject(reason="the handler rejected it")
        case "nack":
            return Retry(reason="the handler said nack")
        case _ if manual:  # guard: no manual acknowledgement is invented
            return Retry(reason="the handler acknowledges by hand, and ended without doing so")
        case _:
            return Drop(reason="the handler skipped it")


def handed_back(cause: str) -> Retry:
    """At once, for anybody, and no attempt is counted."""
    return Retry(after=0, reason=cause, counts=False)


def does_not_fit(error: BaseException) -> bool:
    """Did the message not fit the handler's arguments? Libraries raise the same class when a handler checks something
    of its own, which says nothing against the message: so it is asked who raised it."""
    if type(error).__name__ != "ValidationError":
        return False
    frames: list[str] = []
    at = error.__traceback__
    while at is not None:
        frames.append(at.tb_frame.f_globals.get("__name__", "").partition(".")[0])
        at = at.tb_next
    outside = [package for package in frames if package not in _CHECKERS]
    return bool(outside) and outside[-1] == "fast_depends"  # guard: a handler's own check is no word on the message


def _fields(error: BaseException) -> str:
    """Which arguments did not fit, without their values: the text of the error would quote them."""
    told = getattr(error, "errors", None)
    places = [one["loc"] for one in told(include_url=False, include_input=False)] if callable(told) else [
        (field.field_name,) for field in getattr(error, "error_fields", ())]
    names = dict.fromkeys(".".join(map(str, place)) for place in places)
    return f"the handler's arguments do not fit: {', '.join(names) or type(error).__name__}"
