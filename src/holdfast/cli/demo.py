# SPDX-License-Identifier: Apache-2.0
"""``holdfast demo``: the main job, end to end, while workers are killed and frozen."""

from __future__ import annotations

from pathlib import Path

import click

from .output import json_option


@click.command()
@click.option("--input", "input_file", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="a trace log: JSON lines, or CSV  [default: a generated one with planted bad lines]")
@click.option("--spans", type=click.IntRange(min=1), help="spans to generate  [default: 20000]")
@json_option
def command(input_file: Path | None, spans: int | None, as_json: bool) -> int:
    """Send a trace log through the streams while workers are killed and frozen; end with the ledger.

    Uses a server of its own in a temporary folder. Answers 1 unless every span was applied once and every bad line has
    its dead letter.
    """
    if input_file is not None and spans is not None:
        raise click.UsageError("--spans is for the generated log: give --input or --spans, not both")
    from ..demo.run import main

    code: int = main(input_file=input_file, spans=spans, as_json=as_json)
    return code
