# SPDX-License-Identifier: Apache-2.0
"""A group whose commands are in files of their own, which are opened when one of them is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click


class InFiles(click.Group):
    """Has its own commands, and those of ``files``: modules beside this one, each with a dictionary COMMANDS."""

    def __init__(self, *args: Any, files: tuple[str, ...], **more: Any) -> None:
        super().__init__(*args, **more)
        self._files = files

    def _more(self) -> dict[str, click.Command]:
        return {name: found for file in self._files
                for name, found in import_module(f".{file}", __package__).COMMANDS.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *self._more()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, cmd_name) or self._more().get(cmd_name)
