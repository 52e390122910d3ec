# SPDX-License-Identifier: Apache-2.0
"""``holdfast dlq trends``: how many letters, of what, since when, and what changed."""

from __future__ import annotations

import time
from typing import IO, TYPE_CHECKING

import click

from .context import desk_option, letter_option, run, server_options
from .output import json_option, print_json, print_table, say, show
from .params import SINCE

if TYPE_CHECKING:
    from ..deadletters.trends import Tally, Trends, Window


@click.command("trends")
@click.argument("streams", metavar="[STREAM]...", nargs=-1)
@click.option("--group", "groups", multiple=True, help="with STREAM: the groups whose letters they are")
@click.option("--file", type=click.File("rb"), help="letters as JSON lines: of `dlq export`, of `dlq map --from`, or "
                                                    "objects of metadata  [- is stdin]")
@click.option("--days", type=click.FloatRange(min=0, min_open=True), default=7.0, show_default=True,
              help="how long the window is; it is compared with the one before it")
@click.option("--by", type=click.Choice(["day", "hour"]), default="day", show_default=True, help="its steps")
@click.option("--until", "until_ms", type=SINCE, help="where it ends: 2h ago, or an ISO-8601 time  [default: now]")
@click.option("--top", type=click.IntRange(1, 1000), default=10, show_default=True, help="entries of a list at most")
@click.option("--markdown", "as_markdown", is_flag=True, help="print a Markdown page")
@json_option
@letter_option
@desk_option
@server_options()
def trends(*, streams: tuple[str, ...], groups: tuple[str, ...], file: IO[bytes] | None, days: float, by: str,
           until_ms: int | None, top: int, as_markdown: bool, as_json: bool) -> int:
    """Report what dead letters do over time, from their metadata alone.

    With STREAM and --group the letters that lie there are counted; with --file those of a file; otherwise those in hand
    at --desk, of all streams, ended ones as well, with how long it took until they were settled. New errors, growing
    ones and what changed most compare the window with the one before it. Answers 1 when a line of the file could not be
    read; the others are counted.
    """
    from ..deadletters.trends import last

    if bool(streams) != bool(groups) or (streams and file):
        raise click.UsageError("name streams and their groups, or --file, or neither for what is at --desk")
    window = last(until_ms=int(time.time() * 1000) + 1 if until_ms is None else until_ms, days=days,
                  by_hour=by == "hour")
    bad = 0
    if file is not None:
        found, bad = _of_file(file, window, top)
    else:
        found = run(_of_letters(streams, groups, window, top) if streams else _of_desk(window, top))
    _show(found, as_json=as_json, as_markdown=as_markdown)
    return int(bad > 0)


async def _of_letters(streams: tuple[str, ...], groups: tuple[str, ...], window: Window, top: int) -> Trends:
    from .._base.letter import DEFAULT_PREFIX
    from ..deadletters import open_shelf
    from ..deadletters.trends import Tally, fact_of
    from .context import opened, settings

    tally = Tally(window)
    async with opened() as server:
        shelves = [await open_shelf(server, stream, group, prefix=settings().letter_prefix or DEFAULT_PREFIX)
                   for stream in streams for group in groups]
        for shelf in shelves:
            async for letter in shelf.letters():
                tally.add(fact_of(letter, shelf.stream))
    return tally.report(top=top)


async def _of_desk(window: Window, top: int) -> Trends:
    from .desk import opened_desk

    async with opened_desk() as desk:
        from ..deadletters.trends.desk import desk_trends

        return await desk_trends(desk, window, top=top)


def _of_file(file: IO[bytes], window: Window, top: int) -> tuple[Trends, int]:
    from ..deadletters.trends import Tally
    from .dlq_map import lines

    tally, bad = Tally(window), 0
    for number, line in lines(file):
        try:
            _add(tally, line)
        except ValueError as error:
            bad += 1
            say(f"line {number}: {error}")
    return tally.report(top=top), bad


def _add(tally: Tally, line: bytes) -> None:
    from ..deadletters.trends import fact_of_metadata
    from .dlq_map import metadata_of, object_of

    tally.add(fact_of_metadata(metadata_of(object_of(line), line)))


def _show(found: Trends, *, as_json: bool, as_markdown: bool) -> None:
    from ..deadletters.trends.page import blocks, markdown, summary

    if as_json:
        print_json(found)
    elif as_markdown:
        show(markdown(found))
    else:
        for at, block in enumerate(blocks(found)):
            show(f"{'' if at == 0 else chr(10)}{block.title}")
            print_table(block.head, block.rows)
    say(summary(found))


COMMANDS: dict[str, click.Command] = {"trends": trends}
