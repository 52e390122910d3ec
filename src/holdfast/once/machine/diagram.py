# SPDX-License-Identifier: Apache-2.0
"""A state machine as a drawing (Mermaid), as text for a terminal, and as a record for programs. Pure.

The text shows what the graph alone decides: not only where each step leads, but what a request means where it leads
nowhere. That table is what to read before production does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from .machine import StateMachine
from .transition import word

#: What Mermaid takes for a state as it is; everything else gets an alias. Its own words would be read as such.
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RESERVED = {"accdescr", "acctitle", "as", "choice", "class", "classdef", "click", "direction", "end", "fork", "href",
             "hide", "join", "note", "root", "scale", "state", "statediagram", "style"}
#: Characters that are safe in Mermaid's labels; others go as ``#code;``, its way to write any character.
_SAFE = re.compile(r"[^\w .,()/+-]")


def mermaid(machine: StateMachine[Any]) -> str:
    """A ``stateDiagram-v2``, as GitHub, GitLab and most documentation tools draw it."""
    names = {state: _alias(word(state), number) for number, state in enumerate(machine.states, 1)}
    lines = ["stateDiagram-v2"]
    lines += [f'    state "{_label(word(state))}" as {name}' for state, name in names.items() if name != word(state)]
    lines += [f"    [*] --> {names[state]}" for state in machine.initial]
    lines += [f"    {names[source]} --> {names[step.target]}: {_label(step.name)}"
              for step in machine.steps for source in step.sources]
    lines += [f"    {names[state]} --> [*]" for state in machine.states if machine.is_end(state)]
    return "\n".join(lines) + "\n"


def _alias(name: str, number: int) -> str:
    return name if _PLAIN.fullmatch(name) and name.lower() not in _RESERVED else f"s{number}_"


def _label(text: str) -> str:
    return _SAFE.sub(lambda found: f"#{ord(found[0])};", text)


def text(machine: StateMachine[Any]) -> str:
    """The steps, state by state; what a request means in each; and what the state alone cannot tell."""
    begins = " or ".join(map(word, machine.initial))
    head = f"{machine.name}: {len(machine.states)} states, {len(machine.step_names)} steps, begins {begins}"
    parts = [head, _steps(machine), "What a request means:", _meanings(machine)]
    if notes := _notes(machine):
        parts.append("\n".join(notes))
    return "\n\n".join(parts) + "\n"


def _steps(machine: StateMachine[Any]) -> str:
    width = max(len(word(state)) for state in machine.states)
    lines = []
    for state in machine.states:
        leads = [f"── {step.name} ─▶ {word(step.target)}" for step in machine.steps if state in step.sources]
        for number, arrow in enumerate(leads or ["(end)"]):
            lines.append(f"  {(word(state) if number == 0 else '').ljust(width)}  {arrow}")
    return "\n".join(lines)


def _meanings(machine: StateMachine[Any]) -> str:
    rows = [["", *machine.step_names]]
    rows += [[word(state), *(_meaning(machine, state, step) for step in machine.step_names)]
             for state in machine.states]
    return "\n".join(_row(row, rows) for row in rows)


def _row(row: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _meaning(machine: StateMachine[Any], state: Any, step: str) -> str:
    """One cell; a question mark where the state alone cannot tell a duplicate from another request."""
    meaning = machine.judge(step, state)
    return meaning.kind if meaning.certain else f"{meaning.kind}?"


def _notes(machine: StateMachine[Any]) -> list[str]:
    repeated = [step for step in machine.step_names if machine.repeats(step)]
    unsure = sorted({step for state in machine.states for step in machine.step_names
                     if not machine.judge(step, state).certain} - set(repeated))
    notes = []
    if repeated:
        notes.append(f"Can be taken more than once: {', '.join(repeated)}. A late duplicate may be taken for the next "
                     'round:\ngive fire(version=…), or use once="sql".')
    if unsure:
        notes.append(f"Share a state with other steps: {', '.join(unsure)}. Give over(last=…) a column, and they "
                     "are told apart.")
    return notes


def record(machine: StateMachine[Any]) -> dict[str, Any]:
    """The same for programs. ``passed``: steps that whatever is in a state has taken; ``meanings``: state → step → what
    a request means."""
    return {
        "name": machine.name,
        "initial": [word(state) for state in machine.initial],
        "states": [{"name": word(state), "end": machine.is_end(state), "passed": sorted(machine.passed(state))}
                   for state in machine.states],
        "steps": [{"name": step.name, "sources": [word(state) for state in step.sources], "target": word(step.target),
                   "repeats": machine.repeats(step.name)} for step in machine.steps],
        "meanings": {word(state): {step: _meaning(machine, state, step) for step in machine.step_names}
                     for state in machine.states},
    }
