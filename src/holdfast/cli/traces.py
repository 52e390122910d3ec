# SPDX-License-Identifier: Apache-2.0
"""``holdfast traces``: what files of spans say about where the time went.

A file a command; ``traces_files`` is what all of them begin with: the files, their format, and what could not be read.
"""

from __future__ import annotations

from importlib import import_module

import click

#: Files with the commands, each a dictionary COMMANDS.
_FILES = ("traces_report", "traces_paths", "traces_graph", "traces_compare", "traces_convert", "traces_serve")


class _Commands(click.Group):
    """Finds the commands that are in files of their own."""

    def _all(self) -> dict[str, click.Command]:
        return {name: found for file in _FILES
                for name, found in import_module(f".{file}", __package__).COMMANDS.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self._all())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return self._all().get(cmd_name)


@click.group("traces", cls=_Commands)
def command() -> None:
    """Read files of spans: where the time went, what failed, who calls whom.

    OTLP, Jaeger and Zipkin JSON, CSV, flat JSON lines and log text, with gzip or zstd or without; - is standard input.
    """
