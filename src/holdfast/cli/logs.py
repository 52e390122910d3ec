# SPDX-License-Identifier: Apache-2.0
"""``holdfast logs``: files of log lines, followed, parsed and handed on; bad lines among the dead letters.

A file a command, or a group of them.
"""

from __future__ import annotations

from importlib import import_module

import click

#: Files with the commands, each a dictionary COMMANDS.
_FILES = ("logs_check", "logs_dlq", "logs_run", "logs_tail")


class _Commands(click.Group):
    """Finds the commands that are in files of their own."""

    def _all(self) -> dict[str, click.Command]:
        return {name: found for file in _FILES
                for name, found in import_module(f".{file}", __package__).COMMANDS.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self._all())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return self._all().get(cmd_name)


@click.group("logs", cls=_Commands)
def command() -> None:
    """Follow log files, check them, and work with the lines that failed."""
