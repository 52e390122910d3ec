# SPDX-License-Identifier: Apache-2.0
"""A fingerprint that is equal for the same error at other data, so that a thousand letters are one line on a screen.

Hashed are the types of the error and its causes, and the places it passed through, as module and function. Left out is
all that varies while the error stays the same: line numbers, which move with every edit above them; addresses; how
often a recursive function met itself; and our own frames, so that upgrading Holdfast regroups nothing. An error
without places, because it was never raised or never left Holdfast, is told by its words, without numbers, quoted text
and hexadecimal.

The algorithm's version stands in front (``v1:``): a change to anything here is ``v2``, and groups never merge by
chance.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Final

MAX_CAUSES: Final = 8
_MAX_FRAMES: Final = 200
_OURS: Final = __name__.partition(".")[0]
_VARIES = re.compile(r"'[^']*'|\"[^\"]*\"|\b0x[0-9a-f]+\b|\b[0-9a-f]{8}[0-9a-f-]*\b|\d+", re.IGNORECASE)

# Errors come from anybody's code and may shadow these with properties that raise; the interpreter's own slots cannot.
_slots: Final[dict[str, Any]] = {**BaseException.__dict__, "exceptions": BaseExceptionGroup.__dict__["exceptions"]}
_type_slots: Final[dict[str, Any]] = dict(type.__dict__)


def slot(error: BaseException, name: str) -> Any:
    """``error.<name>`` as the interpreter keeps it, for ``__cause__``, ``__context__``, ``__traceback__`` and their
    like."""
    return _slots[name].__get__(error)


def causes(error: BaseException) -> list[BaseException]:
    """The error, then what caused it, innermost last; members of a group follow their group. At most 8; cycles end."""
    found: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting and len(found) < MAX_CAUSES:
        now = waiting.pop(0)
        if now is None or any(now is seen for seen in found):
            continue
        found.append(now)
        if slot(now, "__cause__") is not None:
            waiting.append(slot(now, "__cause__"))
        elif not slot(now, "__suppress_context__"):
            waiting.append(slot(now, "__context__"))
        if issubclass(type(now), BaseExceptionGroup):
            waiting.extend(slot(now, "exceptions")[:3])
    return found


def type_name(error: BaseException) -> str:
    """``module.Name`` of the error's type; built-in types without their module."""
    kind = type(error)
    module, name = _type_slots["__module__"].__get__(kind), _type_slots["__qualname__"].__get__(kind)
    return str.__str__(name) if module == "builtins" or type(module) is not str else f"{module}.{name}"


def words(text: str) -> str:
    """``text`` without what varies: numbers, quoted text, hexadecimal."""
    return " ".join(_VARIES.sub("#", text[:512]).split())


def fingerprint(error: BaseException, message: str = "") -> str:
    """``v1:`` and 16 hexadecimal digits. ``message`` counts only if neither the error nor a cause has a place."""
    chain = causes(error)
    places = [place for link in chain for place in dict.fromkeys(_places(slot(link, "__traceback__")))]
    return fingerprint_of([type_name(link) for link in chain], places, message)


def fingerprint_of(types: Sequence[str], places: Sequence[str] = (), message: str = "") -> str:
    """The fingerprint from its parts; for errors that reach us as text, without places."""
    parts = ["t " + name for name in types]
    parts += ["p " + place for place in places] or ["w " + words(message)]
    return "v1:" + hashlib.sha256("\n".join(parts).encode("utf-8", "backslashreplace")).hexdigest()[:16]


def _places(traceback: TracebackType | None) -> Iterator[str]:
    """Where the error passed, as ``module:function``, in our order of descent."""
    steps = 0
    while traceback is not None and steps < _MAX_FRAMES:
        frame = traceback.tb_frame
        module = frame.f_globals.get("__name__")
        if type(module) is not str:
            module = "?"
        if module != _OURS and not module.startswith(_OURS + "."):
            yield f"{module}:{frame.f_code.co_qualname}"
        traceback = traceback.tb_next
        steps += 1
