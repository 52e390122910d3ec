# SPDX-License-Identifier: Apache-2.0
"""``holdfast dlq queue | assign | comment | view | edit | throw-away | undo | erase``: people and dead letters."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .context import desk_option, letter_option, run, server_options
from .desk import opened_desk
from .dlq import shelf
from .dlq_act import who
from .output import json_option, print_json, print_table, printable, say, show
from .params import DURATION

if TYPE_CHECKING:
    from ..deadletters import LetterInfo
    from ..deadletters.desk import Actor, Case, Desk
    from ..deadletters.people import Erased, FieldRule

_BY = click.option("--by", help="who does it  [default: the user]")
_LETTERS = click.argument("letter_ids", metavar="LETTER...", nargs=-1, required=True)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def _shown_to(command: Any) -> Any:
    """Which fields of a payload are shown."""
    for option in (click.option("--fields", "fields_file", type=_FILE, help="TOML file of fields and who may see them"),
                   click.option("--role", default="viewer", show_default=True, help="who is looking")):
        command = option(command)
    return command


def _actor(by: str | None) -> Actor:
    from .. import _sql  # noqa: F401 - names the extra where it is missing
    from ..deadletters.desk import Actor

    return Actor(by or who(), person=True)


def _rules(path: Path | None) -> list[FieldRule]:
    from ..deadletters.people import rules_of
    from ..errors import ConfigurationError

    try:
        return rules_of(path.read_text()) if path is not None else []
    except ValueError as error:
        raise ConfigurationError(f"{path}: {error}") from error


@click.command("queue")
@click.option("--mine", is_flag=True, help="mine, or those of --by")
@click.option("--unassigned", is_flag=True, help="nobody's")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="at most so many")
@_BY
@json_option
@desk_option
@server_options()
def queue(*, mine: bool, unassigned: bool, limit: int, by: str | None, as_json: bool) -> None:
    """List letters that wait for a person, oldest first."""
    if mine and unassigned:
        raise click.UsageError("--mine or --unassigned, not both")
    found = run(_queued(_actor(by).name if mine else "" if unassigned else None, limit))
    if as_json:
        return print_json(found)
    print_table(["letter", "stream", "group", "category", "severity", "whose", "edited", "error"],
                [[c.letter_id, c.logical, c.group, c.category, c.severity, c.assignee, "yes" if c.edited else "",
                  c.error_type] for c in found])
    return None


async def _queued(assignee: str | None, limit: int) -> list[Case]:
    async with opened_desk() as desk:
        from ..deadletters.people import queue as waiting

        return await waiting(desk, assignee=assignee, limit=limit)


async def _each(letter_ids: tuple[str, ...], work: Callable[[Desk, Case], Awaitable[object]]) -> int:
    """Does it with each of these letters; those that it cannot be done with are said. Gives the exit code."""
    from ..errors import LetterError

    failed = 0
    async with opened_desk() as desk:
        for letter_id in letter_ids:
            try:
                await work(desk, await desk.get(letter_id))
            except LetterError as error:
                failed += 1
                say(f"error: {error}")
    say(f"{len(letter_ids) - failed} of {len(letter_ids)} done")
    return int(failed > 0)


@click.command("assign")
@_LETTERS
@click.option("--to", "assignee", required=True, help='whose it is from now on; "" is nobody\'s')
@_BY
@desk_option
@server_options()
def assign(*, letter_ids: tuple[str, ...], assignee: str, by: str | None) -> int:
    """Give letters that wait for a person to somebody, or to nobody."""
    actor = _actor(by)
    from ..deadletters.people import assign as give

    return run(_each(letter_ids, lambda desk, case: give(desk, case, assignee, actor)))


@click.command("comment")
@_LETTERS
@click.option("--say", "words", required=True, help="what there is to say")
@_BY
@desk_option
@server_options()
def comment(*, letter_ids: tuple[str, ...], words: str, by: str | None) -> int:
    """Say something about letters, for whoever deals with them."""
    actor = _actor(by)
    from ..deadletters.people import comment as note

    return run(_each(letter_ids, lambda desk, case: note(desk, case, words, actor)))


@click.command("throw-away")
@_LETTERS
@click.option("--undo-within", "undo_s", type=DURATION, default="1h", show_default=True,
              help="how long it can be taken back: 90s, 15m, 2h, 3d")
@_BY
@desk_option
@server_options()
def throw_away(*, letter_ids: tuple[str, ...], undo_s: float, by: str | None) -> int:
    """Discard letters that can be taken back for a while. They stay on their shelf until then.

    A running `dlq serve` takes them off afterwards, and keeps their entries at the desk. `dlq discard` removes at once.
    """
    actor = _actor(by)
    from ..deadletters.people import discard

    return run(_each(letter_ids, lambda desk, case: discard(desk, case, actor, undo_ms=int(undo_s * 1000))))


@click.command("undo")
@_LETTERS
@_BY
@desk_option
@server_options()
def undo(*, letter_ids: tuple[str, ...], by: str | None) -> int:
    """Take a discard back, or else an edit that was not sent yet."""
    actor = _actor(by)
    from ..deadletters.people import undo as take_back

    return run(_each(letter_ids, lambda desk, case: take_back(desk, case, actor)))


@asynccontextmanager
async def _case_and_letter(letter_id: str) -> AsyncIterator[tuple[Desk, Case, LetterInfo]]:
    async with opened_desk() as desk:
        case = await desk.get(letter_id)
        async with shelf(case.logical, case.group) as found:
            yield desk, case, await found.get(letter_id)


@click.command("view")
@click.argument("letter_id", metavar="LETTER")
@_shown_to
@_BY
@json_option
@desk_option
@letter_option
@server_options()
def view(*, letter_id: str, fields_file: Path | None, role: str, by: str | None, as_json: bool) -> None:
    """Show a letter's payload, as the role may see it, and what was said of it. The look is recorded."""
    actor, rules = _actor(by), _rules(fields_file)
    text, edited, said = run(_viewed(letter_id, actor, role, rules))
    if as_json:
        return print_json({"letter": letter_id, "body": text, "edit": edited,
                           "comments": [{"at_ms": at, "by": person, "words": words} for at, person, words in said]})
    for line in (*text.split("\n"), *(edited.split("\n") if edited else ())):
        show(printable(line))
    for _, person, words in said:
        show(f"{printable(person)}: {printable(words)}")
    return None


async def _viewed(letter_id: str, actor: Actor, role: str, rules: list[FieldRule]
                  ) -> tuple[str, str, list[tuple[int, str, str]]]:
    async with _case_and_letter(letter_id) as (desk, case, letter):
        from ..deadletters.people import comments, content_type_of, difference
        from ..deadletters.people import view as look
        from ..deadletters.service.entries import body_of

        text = await look(desk, letter, actor, role=role, rules=rules)
        body = await desk.body(case.edited) if case.edited else None
        edited = "" if body is None else difference(body_of(letter), body, content_type_of(letter), role, rules)
        return text, edited, await comments(desk, letter_id)


@click.command("edit")
@click.argument("letter_id", metavar="LETTER")
@click.option("--body-file", type=_FILE, required=True, help="the body that is sent in place of its own")
@_shown_to
@_BY
@desk_option
@letter_option
@server_options()
def edit(*, letter_id: str, body_file: Path, fields_file: Path | None, role: str, by: str | None) -> None:
    """Keep another body for a letter that waits for a person, and show what it changes.

    It is sent when the letter is replayed, by the service or a job; until then `dlq undo` takes it back.
    """
    actor, rules = _actor(by), _rules(fields_file)
    for line in run(_edited(letter_id, body_file.read_bytes(), actor, role, rules)).split("\n"):
        show(printable(line))


async def _edited(letter_id: str, body: bytes, actor: Actor, role: str, rules: list[FieldRule]) -> str:
    async with _case_and_letter(letter_id) as (desk, case, letter):
        from ..deadletters.people import content_type_of, difference
        from ..deadletters.people import edit as change
        from ..deadletters.service.entries import body_of

        await change(desk, case, letter, body, actor)
        return difference(body_of(letter), body, content_type_of(letter), role, rules)


@click.command("erase")
@click.option("--key", required=True, help="whose data")
@click.option("--stream", required=True, help="letters of this stream")
@click.option("--group", required=True, help="and of this group")
@click.option("--by", required=True, help="who does it")
@click.option("--why", required=True, help="the reason, for the record; without the key, please")
@click.option("--hash-key-file", type=_FILE, help="secret of the mark; the same gives the same mark for a key again")
@click.option("--yes", is_flag=True, help="do it; otherwise it is only said what would be erased")
@json_option
@desk_option
@letter_option
@server_options()
def erase(*, key: str, stream: str, group: str, by: str, why: str, hash_key_file: Path | None, yes: bool,
          as_json: bool) -> int:
    """Erase what is kept of a key: its letters on the shelf, and at the desk bodies, errors' words, comments, the key.

    Without --yes nothing is erased. Answers 1 when letters in somebody's hand were left: erase again then.
    """
    if key in why:
        raise click.UsageError("--why holds the key, and is kept")
    actor = _actor(by)
    secret = hash_key_file.read_bytes() if hash_key_file is not None else secrets.token_bytes(32)
    found = run(_erased(stream, group, key, actor, why=why, secret=secret, dry_run=not yes))
    if as_json:
        print_json(found)
    else:
        print_table(["letters", "cases", "left", "mark"], [[found.letters, found.cases, len(found.busy), found.mark]])
    say(f"{'erased' if yes else 'would be erased; say --yes'}. Not reached: the stream {stream} itself, messages that "
        "were sent back and are not handled yet, logs of your own, backups, and what PostgreSQL has not vacuumed")
    return int(bool(found.busy))


async def _erased(stream: str, group: str, key: str, actor: Actor, *, why: str, secret: bytes, dry_run: bool) -> Erased:
    from ..deadletters.people import erase as forget

    async with opened_desk() as desk, shelf(stream, group) as found:
        return await forget(desk, found, key, actor, why=why, secret=secret, dry_run=dry_run)


COMMANDS: dict[str, click.Command] = {
    command.name or "": command for command in (queue, assign, comment, throw_away, undo, view, edit, erase)}
