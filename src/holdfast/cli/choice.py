# SPDX-License-Identifier: Apache-2.0
"""What a command is to act on: named one by one, or chosen by filters. A bare command must not touch everything."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click


def named_or_all(noun: str) -> Callable[[Any], Any]:
    """Ids as arguments (``letter_ids``), or ``--all`` (``every``)."""
    def decorated(command: Any) -> Any:
        command = click.option("--all", "every", is_flag=True, help=f"all {noun}s that the filters choose")(command)
        return click.argument(f"{noun}_ids", metavar=f"[{noun.upper()}]...", nargs=-1)(command)

    return decorated


def check_choice(noun: str, ids: tuple[str, ...], every: bool, chosen: dict[str, Any]) -> None:
    """UsageError for both ways at once, and for neither."""
    filtered = every or any(value is not None for value in chosen.values())
    if ids and filtered:
        raise click.UsageError(f"name {noun}s, or choose them by filters, not both")
    if not ids and not filtered:
        raise click.UsageError(f"name {noun}s, choose them by filters, or say --all")
