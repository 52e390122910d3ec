# SPDX-License-Identifier: Apache-2.0
"""``holdfast logs``: files of log lines, followed, parsed and handed on; bad lines among the dead letters.

A file a command, or a group of them.
"""

from __future__ import annotations

import click

from .grouped import InFiles

#: Files with the commands, each a dictionary COMMANDS.
_FILES = ("logs_check", "logs_dlq", "logs_run", "logs_tail")


@click.group("logs", cls=InFiles, files=_FILES)
def command() -> None:
    """Follow log files, check them, and work with the lines that failed."""
