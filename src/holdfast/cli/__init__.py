# SPDX-License-Identifier: Apache-2.0
"""The command line: ``holdfast``.

::

    holdfast doctor                               what the server's settings mean in lost messages
    holdfast streams lag orders                   who is behind, and by how much
    holdfast dlq ls orders --group billing        what died
    holdfast run billing:hf --processes 4         work

A file a group of commands. They are opened when first asked for, so ``--help`` costs nothing that it does not show, and
each opens the rooms it needs inside its functions: a core-only installation has all of the commands' help.
"""

from __future__ import annotations

import click

from .. import __version__
from .context import server_options
from .edge import Edge

__all__ = ["main"]


@click.group(cls=Edge, name="holdfast", context_settings={"help_option_names": ["-h", "--help"]}, commands_in={
    "console": "console",
    "demo": "demo", "dlq": "dlq", "doctor": "doctor", "gossip": "gossip", "id": "id", "lab": "lab", "lock": "lock",
    "logs": "logs", "machine": "machine", "migrate": "migrate", "once": "once", "outbox": "outbox",
    "propagation": "propagation", "run": "run",
    "secrets": "secrets", "sql": "sql", "streams": "streams", "traces": "traces",
})
@click.version_option(__version__, message="%(prog)s %(version)s")
@server_options(at_root=True)
def main() -> None:
    """Messages that are never lost and take effect once, on the Redis or Valkey you already run.

    Without --url and HOLDFAST_URL, commands that need a server start or find the embedded one of this folder.
    Data goes to stdout, talk to stderr. Exit codes: 0 done; 1 the answer is no; 2 misuse; 3 what it needs cannot be
    reached; 130 interrupted.
    """
