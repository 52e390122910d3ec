# SPDX-License-Identifier: Apache-2.0
"""``holdfast dlq``: dead letters. Looking at them is here; what moves or removes them is in ``dlq_act``, the service in
``dlq_serve``, its rules in ``dlq_rules``, and what it has in hand in ``dlq_desk``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .context import letter_option, opened, run, server_options, settings
from .grouped import InFiles
from .output import json_option, print_fields, print_json, print_table, show
from .params import SINCE

if TYPE_CHECKING:
    from ..deadletters import Choice, LetterGroup, LetterInfo, Shelf

F = TypeVar("F", bound=Callable[..., Any])

#: What of a letter is shown without being asked for its payload.
_SHOWN = ("id", "reason", "stage", "error_type", "attempts", "source_id", "source_stream", "stream", "entry_id",
          "group", "message_id", "key", "error", "fingerprint", "failed_at", "applied", "replays")


def letters_of(command: F) -> F:
    """STREAM and ``--group``: whose letters."""
    command = letter_option(click.option("--group", required=True, help="the group whose letters they are")(command))
    return click.argument("stream")(command)


def choosing(command: F) -> F:
    """The options that choose letters. They arrive as ``chosen``, to be made a ``Choice``."""
    for option in (
        click.option("--fingerprint", help="same error, as `dlq groups` shows it"),
        click.option("--message-id", help="identity of the message"),
        click.option("--key", help="key of the message"),
        click.option("--since", "since_ms", type=SINCE, help="buried since: 90s, 15m, 2h, 3d or an ISO-8601 time"),
        click.option("--error-type", help="type of the error, in full or its last part"),
        click.option("--reason", help="why it was buried, for example max_attempts"),
    ):
        command = option(command)
    return command


def choice_of(chosen: dict[str, Any]) -> Choice:
    """The filter that the options say."""
    from ..deadletters import Choice

    return Choice(**chosen)


@asynccontextmanager
async def shelf(stream: str, group: str) -> AsyncIterator[Shelf]:
    """The letters of a group on the server that was asked for, whatever kind it is."""
    from .._base.letter import DEFAULT_PREFIX
    from ..brokers import scheme_of
    from ..deadletters import open_shelf
    from ..deadletters.boxed import open_box

    said = settings()
    prefix = said.letter_prefix or DEFAULT_PREFIX
    if said.url is not None and scheme_of(said.url):
        async with open_box(said.url, stream, group, own_prefix=said.own_prefix, prefix=prefix) as box:
            yield box
        return
    async with opened() as server:
        yield await open_shelf(server, stream, group, prefix=prefix)


#: Files with more commands, each a dictionary COMMANDS.
_FILES = ("dlq_act", "dlq_desk", "dlq_jobs", "dlq_map", "dlq_notify", "dlq_people", "dlq_repair", "dlq_rules",
          "dlq_serve", "dlq_trends")


@click.group("dlq", cls=InFiles, files=_FILES)
def command() -> None:
    """Look at dead letters, send them back, remove them.

    ls, show, groups, lint, export, replay and discard work at other brokers, too: --url amqp://…, kafka://….
    """


@command.command("ls")
@click.argument("stream")
@click.option("--group", help="the group whose letters they are  [default: of all groups, on Redis and Kafka]")
@letter_option
@choosing
@click.option("--newest", is_flag=True, help="newest first")
@click.option("--limit", type=click.IntRange(min=1), help="at most so many")
@json_option
@server_options()
def ls(*, stream: str, group: str | None, newest: bool, limit: int | None, as_json: bool, **chosen: Any) -> None:
    """List dead letters, oldest first. Payloads are not shown: see `dlq show`."""
    letters = run(_listed(stream, group, choice_of(chosen), newest, limit) if group else
                  _listed_of_all(stream, choice_of(chosen), newest, limit))
    if as_json:
        return print_json([summary(letter) for letter in letters])
    print_table(["letter", "failed at", "reason", "stage", "error", "attempts", "source", "key"],
                [[x.id, x.failed_at, x.reason, x.stage, x.error_type, x.attempts, source_of(x), x.key]
                 for x in letters])
    return None


async def _listed(stream: str, group: str, choice: Choice, newest: bool, limit: int | None) -> list[LetterInfo]:
    async with shelf(stream, group) as found:
        return [letter async for letter in found.letters(choice, newest_first=newest, limit=limit)]


async def _listed_of_all(stream: str, choice: Choice, newest: bool, limit: int | None) -> list[LetterInfo]:
    """Of each group that the stream has."""
    from .._base.letter import DEFAULT_PREFIX
    from ..brokers import scheme_of
    from ..deadletters import open_shelf
    from ..deadletters.boxed import groups_at
    from ..errors import ConfigurationError
    from ..streams.inspect import physical_streams, stream_state

    said, found = settings(), []
    if said.url is not None and scheme_of(said.url):
        for group in await groups_at(said.url, stream, own_prefix=said.own_prefix):
            found += await _listed(stream, group, choice, newest, limit)
        return sorted(found, key=lambda letter: (letter.dead_ms, letter.entry_id), reverse=newest)[:limit]
    async with opened() as server:
        states = [await stream_state(server, name) for name in await physical_streams(server, stream)]
        groups = sorted({one.group for state in states if state is not None for one in state.groups})
        if not groups:
            raise ConfigurationError(f"stream {stream!r} has no group at {server.url}: `holdfast streams ls` shows "
                                     "streams with their groups")
        for group in groups:
            shelf = await open_shelf(server, stream, group, prefix=said.letter_prefix or DEFAULT_PREFIX)
            found += [letter async for letter in shelf.letters(choice, newest_first=newest, limit=limit)]
    found.sort(key=lambda letter: (letter.dead_ms, letter.entry_id), reverse=newest)
    return found[:limit]


def source_of(letter: LetterInfo) -> str:
    """Where its message was first written, for people."""
    return f"{letter.source_stream}/{letter.source_id}"


def summary(letter: LetterInfo) -> dict[str, Any]:
    """A letter without its payload."""
    return {name: getattr(letter, name) for name in _SHOWN}


@command.command("show")
@letters_of
@click.argument("letter_id", metavar="LETTER")
@click.option("--payload", is_flag=True, help="show the message too; it may hold personal data and secrets")
@json_option
@server_options()
def show_one(*, stream: str, group: str, letter_id: str, payload: bool, as_json: bool) -> None:
    """Show one letter with all its metadata; with --payload, the message as it was."""
    from ..deadletters.export import written

    letter = run(_got(stream, group, letter_id))
    if as_json:
        told = {**summary(letter), "metadata": letter.metadata}
        message = [[written(name), written(value)] for name, value in _pairs(letter)]
        return print_json({**told, "message": message} if payload else told)
    print_fields(letter.metadata.items())
    if payload:
        show()
        print_fields((n.decode("utf-8", "backslashreplace"), v.decode("utf-8", "backslashreplace"))
                     for n, v in _pairs(letter))
    return None


async def _got(stream: str, group: str, letter_id: str) -> LetterInfo:
    async with shelf(stream, group) as found:
        return await found.get(letter_id)


def _pairs(letter: LetterInfo) -> Iterator[tuple[bytes, bytes]]:
    return zip(letter.fields[::2], letter.fields[1::2], strict=True)


@command.command("groups")
@letters_of
@choosing
@json_option
@server_options()
def groups(*, stream: str, group: str, as_json: bool, **chosen: Any) -> None:
    """Gather dead letters by what they died of: one line an error, however many letters."""
    found = run(_grouped(stream, group, choice_of(chosen)))
    if as_json:
        return print_json(found)
    print_table(["letters", "reason", "stage", "error", "fingerprint", "first", "last", "example"],
                [[g.count, g.reason, g.stage, g.error_type, g.fingerprint, g.first, g.last, g.example] for g in found])
    return None


async def _grouped(stream: str, group: str, choice: Choice) -> list[LetterGroup]:
    async with shelf(stream, group) as found:
        return await found.groups(choice)
