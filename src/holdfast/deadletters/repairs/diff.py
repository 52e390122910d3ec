# SPDX-License-Identifier: Apache-2.0
"""What a repair would change, side by side for people: a unified diff of indented JSON, with secrets masked. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any

import msgspec

from ..._base.redact import DEFAULT_REDACTOR
from ...errors import RepairRefused
from .draft import Draft, pretty
from .mender import Trial

Redact = Callable[[str], str]
#: Longer bodies are told by size alone: a diff of them is slow, and nobody reads it.
SHOWN_MAX = 1 << 20


def unified(trial: Trial, redact: Redact = DEFAULT_REDACTOR) -> str:
    """The diff, empty when nothing changed. What is masked on both sides shows as a line of its own."""
    if not trial.is_changed:
        return ""
    if max(len(trial.before.body), len(trial.after.body)) > SHOWN_MAX:
        return f"bodies of {len(trial.before.body)} and {len(trial.after.body)} bytes: too long for a diff\n"
    before, after = redact(_lines(trial.before)), redact(_lines(trial.after))
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), "before", "after", lineterm="")
    told = "\n".join(lines)
    return (told or "# what changed is masked, or is how it is written") + "\n"


def masked(patch: list[dict[str, Any]] | None, redact: Redact = DEFAULT_REDACTOR) -> list[dict[str, Any]] | None:
    """A patch whose texts are masked, for whoever prints it."""
    return None if patch is None else [
        {name: _masked(value, one["path"], redact) if name == "value" else value for name, value in one.items()}
        for one in patch]


def _masked(value: Any, path: str, redact: Redact) -> Any:
    """With the name it has, since a password is known by that: as it would stand in a body."""
    name = path.rpartition("/")[2]
    told = redact(pretty({name: value}))
    try:
        return msgspec.json.decode(told)[name]
    except (msgspec.DecodeError, KeyError, TypeError):  # masked across what made it JSON
        return "***"


def _lines(draft: Draft) -> str:
    try:
        return pretty(draft.value())
    except (RepairRefused, TypeError, ValueError):
        return draft.body.decode("utf-8", "backslashreplace")
