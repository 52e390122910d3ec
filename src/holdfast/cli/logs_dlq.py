# SPDX-License-Identifier: Apache-2.0
"""``holdfast logs dlq``: lines that failed. Looking at them is here; what changes them is in ``logs_dlq_act``."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .context import run, secrets_option, server_options
from .grouped import InFiles
from .logs_build import config_argument, opened_dead
from .output import json_option, print_fields, print_json, print_table, show
from .params import SINCE

if TYPE_CHECKING:
    from ..logs.config import Config
    from ..logs.dead import DeadGroup
    from ..logs.dead_lines import DeadChoice, DeadLine, DeadLines

F = TypeVar("F", bound=Callable[..., Any])

#: What is shown of a line without being asked for its bytes.
_SHOWN = ("id", "source", "offset", "length", "number", "lines", "stage", "reason", "detail", "error", "at_byte",
          "attempts", "first_ms", "last_ms", "parser", "pipeline", "run", "host", "version", "trace_id", "edited_from",
          "thinned")
#: Characters of an id that tables show: enough to name the line by.
SHORT = 12


def choosing(command: F) -> F:
    """The options that choose lines. They arrive as ``chosen``, to be made a choice."""
    for option in (
        click.option("--fingerprint", help="same error, as `logs dlq group` shows it"),
        click.option("--until", "until_ms", type=SINCE, help="failed last before: 90s, 15m, 2h, 3d ago, or a time"),
        click.option("--since", "since_ms", type=SINCE, help="failed last since then, or so long ago"),
        click.option("--path", help="of this file, exactly as it was seen"),
        click.option("--stage", help="where: read, decode, validate, assemble, transform or sink"),
        click.option("--reason", help="why, for example truncated"),
    ):
        command = option(command)
    return command


def choice_of(chosen: dict[str, Any], ids: tuple[str, ...] = ()) -> DeadChoice:
    """The choice that the options say, but for the fingerprint."""
    from ..logs.dead_lines import DeadChoice

    given = {name: value for name, value in chosen.items() if value is not None and name != "fingerprint"}
    return DeadChoice(ids=ids, **given)


async def lines_of(dead: DeadLines, chosen: dict[str, Any], ids: tuple[str, ...] = ()) -> AsyncIterator[DeadLine]:
    """The lines that are meant, oldest first."""
    takes = same_error(chosen)
    async for line in dead.list(choice_of(chosen, ids)):
        if takes(line):
            yield line


def same_error(chosen: dict[str, Any]) -> Callable[[DeadLine], bool]:
    """Is a line of the fingerprint that was asked for?"""
    from ..logs.dead.group import fingerprint

    wanted = chosen.get("fingerprint")
    return lambda line: wanted is None or fingerprint(line) == wanted


@click.group("dlq", cls=InFiles, files=("logs_dlq_act",))
def dlq() -> None:
    """Lines that failed: look at them, mend them, send them through again.

    CONFIG is the file of the pipeline whose lines they are. They can be worked with while it runs.
    """


@dlq.command("list")
@config_argument
@choosing
@click.option("--limit", type=click.IntRange(min=1), help="at most so many")
@json_option
@secrets_option
@server_options()
def list_(*, config: Config, limit: int | None, as_json: bool, **chosen: Any) -> None:
    """List dead lines, oldest first. Their bytes are not shown: see `logs dlq show`."""
    lines = run(_listed(config, chosen, limit))
    if as_json:
        return print_json([summary(line) for line in lines])
    print_table(["line", "failed at", "file", "offset", "length", "stage", "reason", "attempts", "detail"],
                [[x.id[:SHORT], when(x.last_ms), x.source.path, x.offset, x.length, x.stage, x.reason, x.attempts,
                  x.detail[:60]] for x in lines])
    return None


async def _listed(config: Config, chosen: dict[str, Any], limit: int | None) -> list[DeadLine]:
    found: list[DeadLine] = []
    async with opened_dead(config) as dead:
        async for line in lines_of(dead, chosen):
            found.append(line)
            if len(found) == limit:
                break
    return found


def summary(line: DeadLine) -> dict[str, Any]:
    """A line without its bytes."""
    return {name: getattr(line, name) for name in _SHOWN}


def when(ms: int) -> str:
    """A time for people, and for `--since`."""
    from .._base.letter_text import iso

    return iso(ms) if ms else ""


@dlq.command("group")
@config_argument
@choosing
@json_option
@secrets_option
@server_options()
def group(*, config: Config, as_json: bool, **chosen: Any) -> None:
    """Gather dead lines by what they died of: one row an error, however many lines."""
    groups = run(_grouped(config, chosen))
    if as_json:
        return print_json(groups)
    print_table(["lines", "files", "stage", "reason", "fingerprint", "first", "last", "example", "detail"],
                [[g.count, g.files, g.stage, g.reason, g.fingerprint, when(g.first_ms), when(g.last_ms),
                  g.example[:SHORT], g.detail[:60]] for g in groups])
    return None


async def _grouped(config: Config, chosen: dict[str, Any]) -> list[DeadGroup]:
    from ..logs.dead import grouped

    async with opened_dead(config) as dead:
        return grouped([line async for line in lines_of(dead, chosen)])


@dlq.command("show")
@config_argument
@click.argument("line_id", metavar="LINE")
@click.option("--raw", is_flag=True, help="write the line's bytes, and nothing else; they may hold personal data")
@click.option("--letter", is_flag=True, help="as a dead letter of the specification: x-dlq-… fields")
@json_option
@secrets_option
@server_options()
def show_one(*, config: Config, line_id: str, raw: bool, letter: bool, as_json: bool) -> None:
    """Show one dead line: all that is known of it, or its bytes. LINE: its id, or the beginning of it."""
    if raw and (letter or as_json):
        raise click.UsageError("--raw writes bytes: it goes with neither --json nor --letter")
    line = run(_got(config, line_id))
    if raw:
        sys.stdout.buffer.write(line.raw)
        sys.stdout.buffer.flush()
        return None
    told = _letter(line) if letter else summary(line)
    if as_json:
        return print_json(told)
    print_fields((name, _text(name, value)) for name, value in told.items())
    return None


def _letter(line: DeadLine) -> dict[str, Any]:
    from .._base.letter import DEFAULT_PREFIX
    from ..logs.dead_lines import letter_of

    fields = letter_of(line).fields
    pairs = zip(fields[::2], fields[1::2], strict=True)
    return {name.decode(): value.decode("utf-8", "backslashreplace") for name, value in pairs
            if name.startswith(DEFAULT_PREFIX.encode())}


def _text(name: str, value: Any) -> str:
    import msgspec

    if name.endswith("_ms"):
        return when(value)
    if isinstance(value, msgspec.Struct):
        return msgspec.json.encode(value).decode()
    return str(value)


async def _got(config: Config, line_id: str) -> DeadLine:
    async with opened_dead(config) as dead:
        return await dead.get(line_id)


@dlq.command("export")
@config_argument
@choosing
@secrets_option
@server_options()
def export(*, config: Config, **chosen: Any) -> None:
    """Write dead lines as JSON lines, bytes included.

    One object a line; text stays text, and bytes that are not UTF-8 are written as {"b64": "…"}.
    """
    run(_exported(config, chosen))


async def _exported(config: Config, chosen: dict[str, Any]) -> None:
    from ..logs.dead.form import written

    async with opened_dead(config) as dead:
        async for line in lines_of(dead, chosen):
            show(written(line).decode())


COMMANDS: dict[str, click.Command] = {"dlq": dlq}
