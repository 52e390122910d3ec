# SPDX-License-Identifier: Apache-2.0
"""An error as text for a letter: what it said, its causes, its stack. Bounded before it is read in full.

Not the ``traceback`` module: that looks at every source file again for each error, and it trusts what it prints. Here
the error is hostile until shown otherwise: its ``__str__`` may raise, answer ten megabytes, or answer with a subclass
of ``str``.
"""

from __future__ import annotations

import linecache
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Final

from .fingerprint import causes, fingerprint, slot, type_name

Redact = Callable[[str], str]

_MAX_SAID: Final = 4096
_FRAMES_HEAD, _FRAMES_TAIL = 8, 24


@dataclass(frozen=True, slots=True)
class ErrorText:
    """``types`` runs from the error to its innermost cause. ``masked`` are the letter fields in which something was
    masked."""

    types: tuple[str, ...]
    message: str
    stack: str
    fingerprint: str
    masked: tuple[str, ...]


def describe(error: BaseException, detail: str, redact: Redact) -> ErrorText:
    """``error`` and its causes as masked text; ``detail`` replaces what the error itself says."""
    chain = causes(error)
    said = [clipped(detail) or said_by(error), *(said_by(link) for link in chain[1:])]
    raw_stack = "\n".join(_told(link, text, i) for i, (link, text) in enumerate(zip(chain, said, strict=True)))
    message, stack = masked(said[0], redact), masked(raw_stack, redact)
    changed = [name for name, before, after in (("exception-message", said[0], message),
                                               ("exception-stacktrace", raw_stack, stack)) if before != after]
    types = tuple(type_name(link) for link in chain)
    return ErrorText(types, message, stack, fingerprint(error, message), tuple(changed))


def said_by(error: BaseException) -> str:
    """What ``str(error)`` says, clipped; a note instead when saying it fails."""
    try:
        return clipped("".join((str(error)[:_MAX_SAID + 1],)))  # joined: a plain str, whatever subclass it was
    except KeyboardInterrupt:
        raise
    except BaseException as refusal:  # noqa: BLE001  a __str__ may raise anything, even SystemExit
        return f"[no message: its __str__ raised {type_name(refusal)}]"


def clipped(text: str) -> str:
    """The first 4,096 characters of ``text``. A text that was cut loses its last word too, or its last 512 characters:
    cutting may have taken what a secret is known by, as the ``@`` after a password."""
    if len(text) <= _MAX_SAID:
        return text
    text = text[:_MAX_SAID]
    return text[:max(text.rfind(" "), text.rfind("\n"), len(text) - 512)] + " …"


def masked(text: str, redact: Redact) -> str:
    """``text`` masked; if the redactor fails nothing of it is shown, since what it would have hidden is unknown."""
    try:
        return redact(text)
    except Exception as error:  # noqa: BLE001  the redactor may be the user's; the letter is written all the same
        return f"[not shown: the redactor raised {type_name(error)}]"


def _told(error: BaseException, text: str, depth: int) -> str:
    lines = [f"{'caused by ' if depth else ''}{type_name(error)}: {text}"]
    head: list[TracebackType] = []
    tail: deque[TracebackType] = deque(maxlen=_FRAMES_TAIL)
    step, count = slot(error, "__traceback__"), 0
    while step is not None:
        (head if len(head) < _FRAMES_HEAD else tail).append(step)
        step, count = step.tb_next, count + 1
    lines += [_place(at) for at in head]
    if count > len(head) + len(tail):
        lines.append(f"  … {count - len(head) - len(tail)} more")
    lines += [_place(at) for at in tail]
    return "\n".join(lines)


def _place(at: TracebackType) -> str:
    code = at.tb_frame.f_code
    line = linecache.getline(code.co_filename, at.tb_lineno).strip()[:200]
    place = f'  File "{code.co_filename}", line {at.tb_lineno}, in {code.co_qualname}'
    return f"{place}\n    {line}" if line else place
