# SPDX-License-Identifier: Apache-2.0
"""``holdfast machine``: the state machines of a module, drawn."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import ConfigurationError
from .context import server_options
from .output import json_option, print_json, printable, show

if TYPE_CHECKING:
    from ..once.machine.machine import StateMachine


@click.group("machine")
def command() -> None:
    """Draw the state machines of your code."""


@command.command("show")
@click.argument("machine", metavar="MODULE:NAME")
@click.option("--format", "drawn_as", type=click.Choice(["text", "mermaid"]), default="text", show_default=True,
              help="text for people, or a Mermaid stateDiagram-v2 for your pages")
@json_option
@server_options()
def show_machine(machine: str, drawn_as: str, as_json: bool) -> None:
    """Draw MODULE:NAME, a StateMachine or what its .over(table) made.

    The text also says what each request means in each state: moved, duplicate, early or illegal; with a question mark
    where a duplicate cannot be told from another request.
    """
    from ..once.machine import diagram

    found = _find(machine)
    if as_json:
        print_json(diagram.record(found))
    else:
        drawing = diagram.mermaid(found) if drawn_as == "mermaid" else diagram.text(found)
        for line in drawing.splitlines():
            show(printable(line))


def _find(named: str) -> StateMachine[Any]:
    """Imports the module, with the current folder first on the path, and gives its machine."""
    from .plan import imported

    module_name, _, name = named.partition(":")
    if not module_name or not name:
        raise ConfigurationError(f"{named!r} names no state machine: write module:name, for example shop:ORDER")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    module = imported(module_name, here)
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
    if (machine := _machine_in(found)) is None:
        there = ", ".join(key for key, value in vars(module).items() if _machine_in(value) is not None) or "none"
        raise ConfigurationError(f"{named} is no state machine; those in {module_name}: {there}")
    return machine


def _machine_in(value: Any) -> StateMachine[Any] | None:
    """``value``, or the machine that it moves rows by; None for anything else."""
    from ..once.machine.machine import StateMachine

    for candidate in (value, getattr(value, "machine", None)):
        if isinstance(candidate, StateMachine):
            return candidate
    return None
