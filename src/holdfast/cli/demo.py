# SPDX-License-Identifier: Apache-2.0
"""``holdfast demo``: the main job, end to end, while workers are killed and frozen."""

from __future__ import annotations

from pathlib import Path

import click

from .context import server_options, settings
from .output import json_option


@click.command()
@click.option("--input", "input_file", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="a trace log: JSON lines, or CSV  [default: a made-up one with planted bad lines]")
@click.option("--spans", type=click.IntRange(min=1), help="spans to make up  [default: 20000]")
@click.option("--seed", type=int, default=1, show_default=True, help="of what is made up and of whom it hits")
@click.option("--sql", help="an empty SQLite or PostgreSQL database  [default: a SQLite file that is removed again]")
@json_option
@server_options()
def command(*, input_file: Path | None, spans: int | None, seed: int, sql: str | None, as_json: bool) -> int:
    """Send a trace log through the streams while workers are killed and frozen; end with the ledger.

    Uses a server and a database of its own in a temporary folder, whatever the environment says; --url and --sql name
    others. Answers 1 unless every span was applied once and every bad line has its dead letter.
    """
    if input_file is not None and spans is not None:
        raise click.UsageError("--spans is for the made-up log: give --input or --spans, not both")
    from ..demo.run import main

    typed, _ = settings().named()
    folder = typed.get("data_dir")
    return main(input_file, spans, as_json, url=typed.get("url"), data_dir=None if folder is None else Path(folder),
                sql=sql, seed=seed)
