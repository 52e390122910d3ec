# SPDX-License-Identifier: Apache-2.0
"""``holdfast dlq import``: dead tasks of other frameworks become letters of ours."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from .context import letter_option, opened, run, server_options, settings
from .output import json_option, print_json, say
from .params import Duration

if TYPE_CHECKING:
    from ..adapters.celery import Counts


@click.group("import")
def import_() -> None:
    """Take dead tasks in from other frameworks."""


@import_.command("celery")
@click.argument("stream")
@click.option("--group", required=True, help="the group whose letters they become")
@click.option("--from", "source", required=True, metavar="URL", help="Celery's broker: redis://… or redis+sentinel://…")
@click.option("--queue", "queues", multiple=True, help="a list that no worker consumes; may be given several times")
@click.option("--unacked", is_flag=True, help="tasks of workers that died before they acknowledged them")
@click.option("--older-than", "older_than_s", type=Duration(), default="1h", show_default=True,
              help="with --unacked: given out so long ago; longer than the slowest task")
@click.option("--unacked-key", default="unacked", show_default=True, help="if Celery was told another one")
@click.option("--results", is_flag=True, help="tasks whose result says FAILURE and what was called (result_extended)")
@letter_option
@json_option
@server_options()
def celery(*, stream: str, group: str, source: str, queues: tuple[str, ...], unacked: bool, older_than_s: float,
           unacked_key: str, results: bool, as_json: bool) -> int:
    """Make dead letters of STREAM's group of Celery's dead tasks: listed, searched and replayed as any other.

    Tasks of --queue and --unacked are moved, those of --results copied. A task that comes again is one letter, and one
    that was replayed or discarded since does not come back. What an import that was cut off had in hand comes first.
    Their message type is the task's name, their body [args, kwargs, embed]. Answers 1 when something could not be read;
    that is a letter too.
    """
    if not (queues or unacked or results):
        raise click.UsageError("say what to take in: --queue NAME, --unacked or --results")
    counts = run(_imported(stream, group, source, queues, older_than_s if unacked else None, unacked_key, results))
    if as_json:
        print_json(asdict(counts))
    else:
        say(f"{counts.taken} taken in, {counts.known} known already")
        for number, what in ((counts.unread, "could not be read, and lie there as they were"),
                             (counts.waiting, "unacknowledged for less than --older-than, left alone"),
                             (counts.unnamed, "failed, and their results do not say what was called")):
            if number:
                say(f"{number} {what}")
    return int(counts.unread > 0)


async def _imported(stream: str, group: str, source: str, queues: tuple[str, ...],  # noqa: PLR0917 - one call, above
                    older_than_s: float | None, unacked_key: str, results: bool) -> Counts:
    from .._base.letter import DEFAULT_PREFIX
    from ..adapters.celery import importing
    from ..deadletters import Shelf

    async with opened() as server:
        shelf = Shelf(server, stream, group, prefix=settings().letter_prefix or DEFAULT_PREFIX)
        async with importing(source, shelf, unacked_name=unacked_key) as importer:
            counts = await importer.queues(queues)
            if older_than_s is not None:
                counts += await importer.unacked(older_than_s=older_than_s)
            if results:
                counts += await importer.results()
            return counts


#: What this file adds to ``holdfast dlq``.
COMMANDS: dict[str, click.Command] = {"import": import_}
