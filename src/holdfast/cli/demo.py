# SPDX-License-Identifier: Apache-2.0
"""``holdfast demo``: the main job, end to end, while workers are killed and frozen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .context import server_options, settings
from .output import json_option
from .params import ADDRESS

if TYPE_CHECKING:
    from ..demo.run import Stay
    from .plan import Address

#: A port that is free.
_ANYWHERE = ("127.0.0.1", 0)


@click.command()
@click.option("--input", "input_file", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="a trace log: JSON lines, or CSV  [default: a made-up one with planted bad lines]")
@click.option("--spans", type=click.IntRange(min=1), help="spans to make up  [default: 20000]")
@click.option("--seed", type=int, default=1, show_default=True, help="of what is made up and of whom it hits")
@click.option("--sql", help="an empty SQLite or PostgreSQL database  [default: a SQLite file that is removed again]")
@click.option("--console", "stays", is_flag=True, help="let rules at what died, then stay with the console on it")
@click.option("--bind", type=ADDRESS, metavar="HOST:PORT", help="of the console, on loopback  [default: a free port]")
@json_option
@server_options()
def command(*, input_file: Path | None, spans: int | None, seed: int, sql: str | None, stays: bool,
            bind: Address | None, as_json: bool) -> int:
    """Send a trace log through the streams while workers are killed and frozen; end with the ledger.

    Uses a server and a database of its own in a temporary folder, whatever the environment says; --url and --sql name
    others. Answers 1 unless every span was applied once and every bad line has its dead letter. With --console it stays
    after that, until Ctrl-C, and shows what died.
    """
    if input_file is not None and spans is not None:
        raise click.UsageError("--spans is for the made-up log: give --input or --spans, not both")
    if bind is not None and not stays:
        raise click.UsageError("--bind is the console's address: it goes with --console")
    from ..demo.run import main

    typed, _ = settings().named()
    folder = typed.get("data_dir")

    def play(stay: Stay | None = None) -> int:
        return main(input_file, spans, as_json, url=typed.get("url"), data_dir=None if folder is None else Path(folder),
                    sql=sql, seed=seed, stay=stay)

    if not stays:
        return play()
    from .demo_console import Visit

    with Visit(bind or _ANYWHERE) as visit:
        return play(visit.to_end)
