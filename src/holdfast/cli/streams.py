# SPDX-License-Identifier: Apache-2.0
"""``holdfast streams``: how streams and their groups stand, and what a person may do to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from .context import opened, run, server_options
from .output import json_option, print_json, print_table

if TYPE_CHECKING:
    from ..streams.overview import GroupLag, StreamLine


@click.group("streams")
def command() -> None:
    """Look at streams and groups: what is pending, who is behind. Claim and trim by hand."""


@command.command("ls")
@click.argument("pattern", default="*")
@json_option
@server_options()
def ls(pattern: str, as_json: bool) -> None:
    """List streams whose names match PATTERN (a glob). The partitions of a stream are one line."""
    lines = run(_lines(pattern))
    if as_json:
        return print_json(lines)
    print_table(["stream", "partitions", "length", "later", "groups"],
                [[s.stream, s.partitions, s.length, s.later, " ".join(s.groups)] for s in lines])
    return None


async def _lines(pattern: str) -> list[StreamLine]:
    from ..streams.overview import overview

    async with opened() as server:
        return await overview(server, pattern)


@command.command("lag")
@click.argument("stream")
@click.option("--group", help="only this group")
@json_option
@server_options()
def lag(stream: str, group: str | None, as_json: bool) -> None:
    """Show how far each group of STREAM is behind.

    pending: delivered and not settled, parked ones included. lag: not yet delivered, -1 when the server cannot say.
    retries due: parked and past their time. parked: waiting for their time. dead: dead letters. replay: entries
    replayed and not settled yet.
    """
    groups = run(_lags(stream, group))
    if as_json:
        return print_json(groups)
    columns = ["pending", "lag", "retries due", "parked", "dead", "replay", "oldest pending s", "consumers"]
    rows: list[Sequence[Any]] = []
    for g in groups:
        rows += [[g.group, g.stream, *_numbers(g)]]
        rows += [["", p.stream, *_numbers(p)] for p in g.partitions if len(g.partitions) > 1]
    print_table(["group", "stream", *columns], rows)
    return None


def _numbers(g: GroupLag | Any) -> list[Any]:
    return [g.pending, g.lag, g.retries_due, g.parked, g.dead, g.replay, g.oldest_pending_s, g.consumers]


async def _lags(stream: str, group: str | None) -> list[GroupLag]:
    from ..streams.overview import lags

    async with opened() as server:
        found = await lags(server, stream)
        if group is not None:
            must_have_group(stream, group, [g.group for g in found])
        return [g for g in found if group in (None, g.group)]


def must_have_group(stream: str, group: str, there: Sequence[str]) -> None:
    """Raises when ``group`` is none of those that are there."""
    from ..errors import ConfigurationError

    if group not in there:
        known = "its groups are " + ", ".join(there) if there else "it has no group yet"
        raise ConfigurationError(f"stream {stream!r} has no group {group!r}: {known}")
