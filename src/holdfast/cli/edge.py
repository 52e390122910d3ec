# SPDX-License-Identifier: Apache-2.0
"""The edge: where commands are found, and where errors become one line and an exit code.

Every error that is raised on purpose is advice already; here it only gets ``error:`` in front and its number. Anything
else is a bug of ours and keeps its traceback. Who pipes into ``head`` has what they wanted: the rest is not
written, and nothing is said about it (141, as when a shell reports the signal).
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import click

from ..errors import HoldfastError
from .context import Settings
from .output import one_line, say

INTERRUPTED = 130
PIPE_CLOSED = 141
NOT_WRITTEN = 1
#: No disk takes what is written: full, over a quota, too long a file.
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Edge(click.Group):
    """The root of all commands. ``commands_in``: name → module beside this one that defines ``command``.

    A command answers with its exit code, or None for 0.
    """

    def __init__(self, *args: Any, commands_in: Mapping[str, str], **more: Any) -> None:
        super().__init__(*args, **more)
        self._commands_in = commands_in

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self._commands_in)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._commands_in:
            return None
        found: click.Command = import_module(f".{self._commands_in[cmd_name]}", __package__).command
        return found

    def invoke(self, ctx: click.Context) -> Any:
        def work() -> Any:
            return super(Edge, self).invoke(ctx)

        return ctx.exit(exit_code(work, debug=lambda: ctx.ensure_object(Settings).debug))


def exit_code(work: Callable[[], Any], *, debug: Callable[[], bool]) -> int:
    """Runs ``work`` and answers the exit code of what it answers or raises; errors on purpose become one line."""
    try:
        code = work()
        sys.stdout.flush()
    except HoldfastError as error:
        if debug():
            raise
        say(f"error: {one_line(str(error))}")
        code = error.exit_code
    except KeyboardInterrupt:
        say("interrupted")
        code = INTERRUPTED
    except BrokenPipeError:
        _close_stdout()
        code = PIPE_CLOSED
    except OSError as error:
        if error.errno not in FULL or debug():
            raise
        where = f" to {error.filename}" if error.filename else ""
        say(f"error: not all of it could be written{where}: {os.strerror(error.errno).lower()}; make room and run it "
            "again")
        _close_stdout()
        code = NOT_WRITTEN
    return code if isinstance(code, int) else 0


def _close_stdout() -> None:
    """What is still buffered goes nowhere; otherwise the interpreter complains about it while it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
