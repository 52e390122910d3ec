# SPDX-License-Identifier: Apache-2.0
"""``holdfast logs dlq replay | edit | purge``: what sends dead lines through again, changes them, removes them."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .choice import check_choice, named_or_all
from .context import run, secrets_option, server_options
from .logs_build import config_argument, opened_dead, sink_of, stages_of
from .logs_dlq import SHORT, choice_of, choosing, lines_of, same_error
from .output import json_option, print_json, print_table, progress, say, show

if TYPE_CHECKING:
    from ..logs.config import Config
    from ..logs.dead import Replayed
    from ..logs.dead_lines import DeadLine

#: Lines that are removed together.
_LOT = 200


@click.command("replay")
@config_argument
@named_or_all("line")
@choosing
@click.option("--limit", type=click.IntRange(min=1), help="at most so many")
@click.option("--dry-run", is_flag=True, help="only say what the parser makes of them now")
@json_option
@secrets_option
@server_options()
def replay(*, config: Config, line_ids: tuple[str, ...], every: bool, limit: int | None, dry_run: bool, as_json: bool,
           **chosen: Any) -> int:
    """Send dead lines through parser and sink again, as CONFIG has them now: after a fix, or after an edit.

    A line leaves the dead lines once its record is durable in the sink, under the id that it would have had; one that
    fails again stays, with its new reason and one attempt more. Answers 1 when one did not go in.
    """
    check_choice("line", line_ids, every, chosen)
    done = run(_replayed(config, line_ids, chosen, limit, dry_run))
    if as_json:
        print_json(done)
    else:
        print_table(["line", "outcome", "reason", "attempts", "detail"],
                    [[x.id[:SHORT], x.outcome, x.reason, x.attempts, x.detail[:60]] for x in done])
    outcomes = Counter(one.outcome for one in done)
    would = "would be: " if dry_run else ""
    say(would + (", ".join(f"{count} {what}" for what, count in sorted(outcomes.items())) or "no line was chosen"))
    return int(any(what in outcomes for what in ("failed", "left")))


async def _replayed(config: Config, line_ids: tuple[str, ...], chosen: dict[str, Any], limit: int | None,
                    dry_run: bool) -> list[Replayed]:
    from ..logs.dead import replay as again

    stages, sink, done = stages_of(config), sink_of(config), []
    async with opened_dead(config) as dead:
        ids = tuple([(await dead.get(line_id)).id for line_id in line_ids])
        await sink.open()
        try:
            with progress("replaying", len(ids) or None) as count:
                async for one in again(dead, choice_of(chosen, ids), parse=stages.judge, sink=sink, dry_run=dry_run,
                                       takes=same_error(chosen), limit=limit):
                    done.append(one)
                    count(len(done))
        finally:
            await sink.close()
    return done


@click.command("edit")
@config_argument
@click.argument("line_id", metavar="LINE")
@click.option("--text", help="the new line")
@click.option("--file", "file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
              help="a file with the new bytes; - is standard input")
@secrets_option
@server_options()
def edit(*, config: Config, line_id: str, text: str | None, file: Path | None) -> int:
    """Give a dead line other bytes, to be replayed. On a terminal, without --text and --file, in $EDITOR.

    What it was is written to stdout as a line of JSON, as `logs dlq export` does: keep it, nothing else does. The line
    keeps its id and its place, and the SHA-256 of the file's own bytes. Answers 1 when nothing was changed.
    """
    if text is not None and file is not None:
        raise click.UsageError("--text or --file, not both")
    if text is None and file is None and not sys.stdin.isatty():
        raise click.UsageError("give the new line: --text or --file")
    return run(_edited(config, line_id, text, file))


async def _edited(config: Config, line_id: str, text: str | None, file: Path | None) -> int:
    import time

    from ..logs.dead import edited
    from ..logs.dead.form import written

    async with opened_dead(config) as dead:
        line = await dead.get(line_id)
        new = edited(line, _new_bytes(line, text, file), now_ms=time.time_ns() // 1_000_000)
        if new == line:
            say("nothing was changed")
            return 1
        show(written(line).decode())
        await dead.put([new])
        say(f"{line.id[:SHORT]} has other bytes now; its file's have SHA-256 {new.edited_from}")
    return 0


def _new_bytes(line: DeadLine, text: str | None, file: Path | None) -> bytes:
    if text is not None:
        return text.encode("utf-8", "surrogateescape")
    if file is not None:
        return sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    try:
        said = click.edit(line.raw.decode(), require_save=True, extension=".log")
    except UnicodeDecodeError:
        raise click.UsageError("the line is not UTF-8: `logs dlq show --raw` writes it to a file, --file takes it back"
                               ) from None
    return line.raw if said is None else said.encode()


@click.command("purge")
@config_argument
@named_or_all("line")
@choosing
@click.option("--yes", is_flag=True, help="do not ask")
@click.option("--dry-run", is_flag=True, help="only say what would go")
@json_option
@secrets_option
@server_options()
def purge(*, config: Config, line_ids: tuple[str, ...], every: bool, yes: bool, dry_run: bool, as_json: bool,
          **chosen: Any) -> None:
    """Remove dead lines for good. `logs dlq export` first keeps a copy."""
    check_choice("line", line_ids, every, chosen)
    if not yes and not dry_run and not sys.stdin.isatty():
        raise click.UsageError("this removes lines for good: say --yes")
    gone = run(_purged(config, line_ids, chosen, yes, dry_run))
    if as_json:
        print_json([{"id": one, "purged": not dry_run} for one in gone])
    else:
        for one in gone:
            show(one)
    say(f"{len(gone)} {'would be ' if dry_run else ''}purged")


async def _purged(config: Config, line_ids: tuple[str, ...], chosen: dict[str, Any], yes: bool, dry_run: bool
                  ) -> list[str]:
    async with opened_dead(config) as dead:
        ids = ([(await dead.get(line_id)).id for line_id in dict.fromkeys(line_ids)] if line_ids
               else [line.id async for line in lines_of(dead, chosen)])
        if dry_run or not ids:
            return ids
        if not yes and not click.confirm(f"Remove {len(ids)} dead lines of {config.name} for good?", err=True):
            raise click.Abort
        for begin in range(0, len(ids), _LOT):
            await dead.remove(ids[begin:begin + _LOT])
        return ids


COMMANDS = {command.name or "": command for command in (edit, purge, replay)}
