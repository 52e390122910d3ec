# SPDX-License-Identifier: Apache-2.0
"""``holdfast dlq replay | discard | export | lint``: what moves, removes, writes down and checks dead letters."""

from __future__ import annotations

import getpass
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .choice import check_choice, named_or_all
from .context import run, server_options, settings, sql_option
from .dlq import choice_of, choosing, letters_of, shelf
from .output import json_option, print_json, print_json_line, print_table, progress, say, show

if TYPE_CHECKING:
    from ..deadletters import Choice, LintReport, Order, ReplayRules, Sent, Shelf
    from ..deadletters.applied import Applied


def who() -> str:
    """Whoever runs the command, for the letter's ``replayed-by``; a container may have no name for its user."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


@click.command("replay")
@letters_of
@named_or_all("letter")
@choosing
@click.option("--body-file", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="send this body instead; one letter only")
@click.option("--redirect-to", metavar="STREAM", default="", help="send to this stream instead of back to the group")
@click.option("--redirect-url", metavar="URL", default="", help="where that stream is, if it is on another server")
@click.option("--rate", "rate_per_s", type=click.FloatRange(min=0, min_open=True), help="at most so many a second")
@click.option("--limit", type=click.IntRange(min=1), help="at most so many")
@click.option("--replays-max", type=click.IntRange(min=0), default=5, show_default=True,
              help="replays of one message without --force")
@click.option("--kept-days", type=click.FloatRange(min=0), default=30.0, show_default=True,
              help="how long records of effects are kept; older letters need --force")
@sql_option
@click.option("--handler", default="", help="name under which --sql holds the effects, if they were named apart")
@click.option("--by", help="who replays  [default: the user]")
@click.option("--job", default="", help="name of what belongs together, kept in the letter's lineage")
@click.option("--force", is_flag=True, help="replay old letters and those that came back too often")
@click.option("--dry-run", is_flag=True, help="only say what would be sent")
@json_option
@server_options()
def replay(*, stream: str, group: str, letter_ids: tuple[str, ...], every: bool, body_file: Path | None,
           redirect_to: str, redirect_url: str, rate_per_s: float | None, limit: int | None, replays_max: int,
           kept_days: float, handler: str, by: str | None, job: str, force: bool, dry_run: bool, as_json: bool,
           **chosen: Any) -> int:
    """Send dead letters back to their group, and to no other.

    A letter leaves the dead letters in the step that puts its message onto the group's replay stream. The records of
    once="redis" and "outside" are asked first, and with --sql the database: what was applied is not sent again, and it
    is said since when. Answers 1 when a letter was not sent.
    """
    from ..deadletters import Order, ReplayRules

    check_choice("letter", letter_ids, every, chosen)
    if redirect_url and not redirect_to:
        raise click.UsageError("--redirect-url says where the stream of --redirect-to is: name that, too")
    if body_file is not None and len(letter_ids) != 1:
        raise click.UsageError("--body-file goes with exactly one letter")
    body = body_file.read_bytes() if body_file is not None else None
    order = Order(by=by or who(), job=job, body=body, redirect_to=redirect_to, force=force, dry_run=dry_run)
    rules = ReplayRules(kept_days=kept_days, replays_max=replays_max)
    if len(letter_ids) == 1:
        sent = [run(_replay_one(stream, group, letter_ids[0], order=order, rules=rules, handler=handler,
                                redirect_url=redirect_url))]
    else:
        sent = run(_replay_many(stream, group, letter_ids, choice=choice_of(chosen), order=order, rules=rules,
                                handler=handler, rate_per_s=rate_per_s, limit=limit, redirect_url=redirect_url))
    return _report(sent, as_json=as_json)


async def _replay_one(stream: str, group: str, letter_id: str, *, order: Order, rules: ReplayRules,
                      handler: str, redirect_url: str) -> Sent:
    from ..deadletters.boxed import replayer_of

    async with (shelf(stream, group) as found, effects(found, handler) as applied,
                redirected(order, redirect_url) as going):
        return await replayer_of(found, applied=applied, rules=rules).one(letter_id, going)


@asynccontextmanager
async def redirected(order: Order, url: str) -> AsyncIterator[Order]:
    """The order, with what writes to the other server, if there is one."""
    from ..deadletters.elsewhere import elsewhere

    if not url:
        yield order
        return
    async with elsewhere(url, settings().own_prefix) as write:
        yield replace(order, elsewhere=write)


async def _replay_many(stream: str, group: str, letter_ids: tuple[str, ...], *, choice: Choice, order: Order,
                       rules: ReplayRules, handler: str, rate_per_s: float | None, limit: int | None,
                       redirect_url: str) -> list[Sent]:
    from ..deadletters.boxed import replayer_of

    sent: list[Sent] = []
    async with (shelf(stream, group) as found, effects(found, handler) as applied,
                redirected(order, redirect_url) as going):
        replayer = replayer_of(found, applied=applied, rules=rules)
        letters = (replayer.several(letter_ids, going, rate_per_s=rate_per_s) if letter_ids
                   else replayer.many(choice, going, rate_per_s=rate_per_s, limit=limit))
        with progress("replaying", None) as done:
            async for one in letters:
                sent.append(one)
                done(len(sent))
    return sent


@asynccontextmanager
async def effects(found: Shelf, handler: str) -> AsyncIterator[Applied]:
    """What knows which effects are there: the records beside the stream, and the inbox in the database of ``--sql``."""
    from ..deadletters.applied import any_of, beside_stream, sql_inbox
    from ..deadletters.boxed import BoxShelf

    beside = [] if isinstance(found, BoxShelf) else [beside_stream(found.server)]
    url = settings().sql
    if not url:
        if handler:
            raise click.UsageError("--handler says whose effects to look for in the database of --sql: name that, too")
        yield any_of(*beside)
        return
    async with sql_inbox(url, found.stream, found.group, handler) as applied:
        yield any_of(*beside, applied)


def _report(sent: list[Sent], *, as_json: bool) -> int:
    if as_json:
        print_json(sent)
    else:
        print_table(["letter", "outcome", "to", "why"], [[s.id, s.outcome, s.to, s.why] for s in sent])
    outcomes = Counter(s.outcome for s in sent)
    say(", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items())) or "no letter was chosen")
    return int(any(outcome in outcomes for outcome in ("refused", "applied", "gone")))


@click.command("discard")
@letters_of
@named_or_all("letter")
@choosing
@click.option("--limit", type=click.IntRange(min=1), help="at most so many")
@click.option("--why", required=True, help="the reason, for the record")
@click.option("--by", help="who discards  [default: the user]")
@click.option("--dry-run", is_flag=True, help="only say what would go")
@json_option
@server_options()
def discard(*, stream: str, group: str, letter_ids: tuple[str, ...], every: bool, limit: int | None, why: str,
            by: str | None, dry_run: bool, as_json: bool, **chosen: Any) -> None:
    """Remove dead letters for good. `dlq export` first keeps a copy."""
    check_choice("letter", letter_ids, every, chosen)
    choice = choice_of(chosen)
    gone = run(_discarded(stream, group, letter_ids, choice=choice, limit=limit, by=by or who(), why=why,
                          dry_run=dry_run))
    if as_json:
        print_json([{"id": letter_id, "discarded": not dry_run} for letter_id in gone])
    else:
        for letter_id in gone:
            show(letter_id)
    say(f"{len(gone)} {'would be ' if dry_run else ''}discarded")


async def _discarded(stream: str, group: str, letter_ids: tuple[str, ...], *, choice: Choice, limit: int | None,
                     by: str, why: str, dry_run: bool) -> list[str]:
    from ..deadletters import discard as remove
    from ..deadletters import discard_many

    async with shelf(stream, group) as found:
        if letter_ids:
            letters = [await found.get(letter_id) for letter_id in letter_ids]
            return [x.id for x in letters if dry_run or await remove(found, x, by=by, why=why, events=_log())]
        if dry_run:
            return [letter.id async for letter in found.letters(choice, limit=limit)]
        return [letter.id async for letter in discard_many(found, choice, by=by, why=why, limit=limit, events=_log())]


def _log() -> Any:
    """What was done by hand is told on stderr as well, where a terminal's log or a job's keeps it."""
    from .._base.events import Events
    from ..sinks.plain import plain

    return Events(lambda event: say(f"{event.name} " + " ".join(f"{k}={plain(v)}" for k, v in event.as_dict().items())))


@click.command("export")
@letters_of
@choosing
@click.option("--limit", type=click.IntRange(min=1), help="at most so many")
@server_options()
def export(*, stream: str, group: str, limit: int | None, **chosen: Any) -> None:
    """Write dead letters as JSON lines, payloads included, byte for byte.

    One object a line; text stays text, and what is not UTF-8 is written as {"b64": "…"}.
    """
    count = run(_exported(stream, group, choice_of(chosen), limit))
    say(f"{count} exported")


async def _exported(stream: str, group: str, choice: Choice, limit: int | None) -> int:
    from ..deadletters import exported

    count = 0
    async with shelf(stream, group) as found:
        async for letter in found.letters(choice, limit=limit):
            print_json_line(exported(letter))
            count += 1
    return count


@click.command("lint")
@letters_of
@choosing
@click.option("--infos", is_flag=True, help="also what is merely worth knowing, such as absent recommended fields")
@click.option("--textfile", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE.prom",
              help="also write the counts as metrics, for Prometheus' node exporter")
@json_option
@server_options()
def lint(*, stream: str, group: str, infos: bool, textfile: Path | None, as_json: bool, **chosen: Any) -> int:
    """Check letters against the metadata specification. Answers 1 when one breaks it.

    The services that wrote them are counted apart. FILE.prom is replaced in one step; give each stream and group a file
    of its own in the collector's folder.
    """
    report = run(_linted(stream, group, choice_of(chosen), infos))
    if textfile is not None:
        _write_metrics(textfile, stream, group, report)
    if as_json:
        print_json(report)
    else:
        print_table(["level", "field", "problem", "letters", "what", "example"],
                    [[f.level, f.field, f.kind, f.count, f.text, f.example] for f in report.faults])
        show()
        print_table(["service", "valid", "invalid", "rate"],
                    [[s.service, s.valid, s.invalid, f"{s.rate:.1%}"] for s in report.services])
    say(f"{report.conforming} of {report.letters} letters conform ({report.rate:.1%})")
    return int(report.conforming < report.letters)


async def _linted(stream: str, group: str, choice: Choice, infos: bool) -> LintReport:
    from ..deadletters import lint as check

    async with shelf(stream, group) as found:
        return await check(found.letters(choice), infos=infos)


def _write_metrics(path: Path, stream: str, group: str, report: LintReport) -> None:
    from ..errors import ConfigurationError
    from ..sinks.metrics import LETTERS_CHECKED, LETTERS_CHECKED_AT
    from ..sinks.textfile import page, replace

    # To Prometheus an empty label is none.
    counts = [((stream, group, s.service or "unknown", verdict), count) for s in report.services
              for verdict, count in (("valid", s.valid), ("invalid", s.invalid))]
    try:
        replace(path, page({LETTERS_CHECKED: counts, LETTERS_CHECKED_AT: [((stream, group), time.time())]}))
    except OSError as error:
        raise ConfigurationError(f"--textfile: {path} cannot be written: {error.strerror or error}") from error


COMMANDS = {command.name or "": command for command in (replay, discard, export, lint)}
