# SPDX-License-Identifier: Apache-2.0
r"""Which lines belong to one event: stack traces by language, or a pattern of one's own.

A rule is asked of each line whether it joins the event before it. It keeps a word of state, for the last line of a
Python traceback (``ValueError: no``) looks like any other line, and only stands where it does. Pure, and linear: what
is asked of a line is a prefix, or an anchored pattern no two repeating parts of which can match the same character.

``python``, ``java`` (and whatever writes as the JVM does), ``go``; ``indented``: lines that begin with white space.
``starts``: an event begins where the pattern is found; ``goes_on``: lines where it is found join.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from .._base.letter_text import readable
from ..errors import ConfigurationError
from .linear import finder

__all__ = ["PRESETS", "Joins", "joining"]

#: Asked with the state of the event before and a line's content: None, it begins an event; else the state behind it.
Joins = Callable[[str, bytes], str | None]

_SPACE: Final = (b" ", b"\t")
_JAVA: Final = re.compile(rb"(?:Caused by: |Suppressed: |\.\.\. \d+ more|[A-Za-z_$][\w$]*(?:\.[\w$]+)+(?::|$))")
_JAVA_NAMES: Final = (b"Exception", b"Error", b"Throwable")
_GO_CALL: Final = re.compile(rb"[\w./*()\[\]{}~-]+\(.*\)$")
_GO_BEGINS: Final = (b"panic:", b"fatal error:", b"runtime:", b"goroutine ")
_GO_JOINS: Final = (*_GO_BEGINS, b"created by ", b"[signal ", b"exit status ", b"[recovered]", b"\t")
_PYTHON_BEGINS: Final = b"Traceback (most recent call last)"
_PYTHON_CHAINS: Final = (b"During handling of the above exception", b"The above exception was the direct cause")


def _indented(_state: str, content: bytes) -> str | None:
    return "line" if content.startswith(_SPACE) else None


def _python(state: str, content: bytes) -> str | None:
    if content.startswith(_PYTHON_BEGINS):
        return "trace"
    if content.startswith(_SPACE):
        return state or "line"
    if state == "trace":
        return "said"  # the line that says what was raised
    if state in ("said", "chain") and (not content or content.startswith(_PYTHON_CHAINS)):
        return "chain"
    return None


def _java(_state: str, content: bytes) -> str | None:
    if content.startswith(_SPACE):
        return "line"
    if not _JAVA.match(content):
        return None
    first = content.split(b" ", 1)[0].rstrip(b":")
    return "line" if content.startswith((b"Caused", b"Suppressed", b"...")) or first.endswith(_JAVA_NAMES) else None


def _go(state: str, content: bytes) -> str | None:
    if content.startswith(_GO_BEGINS):
        return "panic"
    if state == "panic" and (not content or content.startswith(_GO_JOINS) or _GO_CALL.match(content)):
        return "panic"
    return "line" if content.startswith(_SPACE) else None


PRESETS: Final[dict[str, Joins]] = {"go": _go, "indented": _indented, "java": _java, "python": _python}


def joining(*, preset: str = "", starts: str = "", goes_on: str = "") -> Joins:
    """The rule by its name, or by a pattern: exactly one of them. ConfigurationError for what there is not."""
    if sum(map(bool, (preset, starts, goes_on))) != 1:
        raise ConfigurationError("multiline: give one of preset, starts, goes_on")
    if preset:
        if preset not in PRESETS:
            raise ConfigurationError(f"multiline preset {preset!r}: there are {', '.join(sorted(PRESETS))}")
        return PRESETS[preset]
    found, joins = finder(starts or goes_on), not starts

    def rule(_state: str, content: bytes) -> str | None:
        return "line" if found(readable(content)) == joins else None

    return rule
