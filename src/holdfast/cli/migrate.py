# SPDX-License-Identifier: Apache-2.0
"""``holdfast migrate``: is what lies beside the streams of the version this Holdfast writes?"""

from __future__ import annotations

from typing import Any

import click

from .context import opened, run, server_options
from .output import json_option, print_json, print_table, say


@click.command()
@click.argument("pattern", default="*")
@click.option("--dry-run", is_flag=True, help="only say what would change")
@json_option
@server_options()
def command(pattern: str, dry_run: bool, as_json: bool) -> int:
    """Compare the schema beside every stream whose name matches PATTERN with the one this Holdfast writes.

    There has been one version so far, so nothing needs changing yet. A stream of a later version is named, and the
    answer is 1: workers of this version refuse it. A stream without a version has never had a consumer of ours.
    """
    del dry_run  # while there is one version, there is nothing that could be changed
    rows = run(_compared(pattern))
    if as_json:
        print_json(rows)
    else:
        print_table(["stream", "schema", "known", "to do"], [list(row.values()) for row in rows])
        say(f"{len(rows)} streams looked at; nothing was changed")
    return int(any(r["schema"] > r["known"] for r in rows))


async def _compared(pattern: str) -> list[dict[str, Any]]:
    from ..streams.inspect import stream_names, stream_state
    from ..streams.source import SCHEMA

    async with opened() as server:
        states = [await stream_state(server, name) for name in await stream_names(server, pattern)]
    return [{"stream": s.stream, "schema": s.schema, "known": SCHEMA, "to_do": _to_do(s.schema, SCHEMA)}
            for s in states if s is not None]


def _to_do(schema: int, known: int) -> str:
    if schema > known:
        return "upgrade this Holdfast: the stream was last used by a later one"
    return "nothing" if schema else "nothing: no consumer of ours has been here"
