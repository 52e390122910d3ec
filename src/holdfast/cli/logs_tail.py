# SPDX-License-Identifier: Apache-2.0
"""``holdfast logs tail``: events of files as they come, through every rotation. Nothing is kept: no checkpoint."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from .context import run as run_
from .context import server_options
from .logs_formats import format_options, guessed, multiline_of, stages_for
from .output import one_line, say, show

if TYPE_CHECKING:
    from ..logs.intake import Batch
    from ..logs.record import Record, Rejected
    from ..logs.stages import Stages

#: Seconds between looks for new lines.
_POLL_S: Final = 0.1
_READ: Final = 1 << 20
_HEAD: Final = 1 << 16
_FIRST: Final = ("time", "timestamp", "@timestamp", "ts", "level", "severity", "message", "msg")


@click.command("tail")
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@format_options
@click.option("--from-start", is_flag=True, help="what is there already, too")
@click.option("--no-follow", is_flag=True, help="end when all was read; reads from the start")
@click.option("--json", "as_json", is_flag=True, help="print an object a line: fields, and where the line stands")
@server_options()
def tail(*, files: tuple[str, ...], format_: str | None, pattern: str | None, multiline: str | None, from_start: bool,
         no_follow: bool, as_json: bool) -> int:
    """Print events of files as they come, until Ctrl-C. FILE may be a pattern ('/var/log/app/*.log').

    A file that is rotated, truncated or replaced is followed on. Lines that cannot be read are told on stderr, with
    their place. Nothing is kept: `logs run` is for what must not be lost.
    """
    stages = _stages(files, format_, pattern)
    return run_(_tailed(files, stages, multiline, from_start=from_start or no_follow, follow=not no_follow,
                        as_json=as_json))


def _stages(files: tuple[str, ...], name: str | None, pattern: str | None) -> Stages:
    from ..errors import ConfigurationError

    if name is None and pattern is None:
        name, stages = guessed(_head(files))
        say(f"read as {name}")
    else:
        stages = stages_for(name or "text", pattern)
    if stages is None:
        raise ConfigurationError(f"there is no format {name!r} for lines: see `holdfast logs tail --help`")
    return stages


def _head(files: tuple[str, ...]) -> bytes:
    """The beginning of the first file that is there."""
    import glob

    for pattern in files:
        for path in sorted(glob.glob(pattern)) or [pattern]:  # noqa: PTH207 - a pattern may be absolute
            try:
                with Path(path).open("rb") as file:
                    return file.read(_HEAD)
            except OSError:
                continue
    return b""


async def _tailed(files: tuple[str, ...], stages: Stages, multiline: str | None, *, from_start: bool, follow: bool,
                  as_json: bool) -> int:
    from .._base.clock import SystemClock
    from ..logs.intake import Intake
    from ..logs.mark import State
    from ..logs.tail.settings import TailSettings

    settings = TailSettings(start="start" if from_start else "end", scan_s=0.2)
    intake = Intake("tail", files, State(epoch="tail"), stages, clock=SystemClock(),
                    multiline=multiline_of(multiline), tail=settings)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    try:
        while not ended.is_set():
            batch = await asyncio.to_thread(intake.read, _READ)
            _print(batch, as_json=as_json)
            if batch.records or batch.rejected:
                continue
            if not follow and intake.idle:
                break
            await _pause(ended)
        _print(await asyncio.to_thread(intake.finish), as_json=as_json)
    finally:
        intake.close()
    return 0


async def _pause(ended: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(_POLL_S):
            await ended.wait()
    except TimeoutError:
        return


def _print(batch: Batch, *, as_json: bool) -> None:
    for record in batch.records:
        show(_object(record) if as_json else _plain(record.fields))
    sys.stdout.flush()
    for bad in batch.rejected:
        say(one_line(_bad(bad)))
    for event in batch.events:
        if event.name == "logs_unreadable":
            say(one_line(f"{getattr(event, 'source', '')}: {getattr(event, 'error', '')}"))


def _object(record: Record) -> str:
    from ..logs.sinks.document import encoded

    good, refused = encoded([record])
    return good[0].body.decode() if good else msgspec.json.encode({"id": record.id, "refused": refused[0].detail}
                                                                  ).decode()


def _plain(fields: dict[str, Any]) -> str:
    """Time, level and message first and bare, then the others by name."""
    first = [name for name in _FIRST if name in fields]
    words = [one_line(_text(fields[name])) for name in first]
    return "  ".join([*words, *(f"{one_line(name)}={one_line(_text(value))}" for name, value in fields.items()
                                if name not in first)])


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    try:
        return msgspec.json.encode(value).decode()
    except (TypeError, ValueError, msgspec.MsgspecError):
        return repr(value)


def _bad(bad: Rejected) -> str:
    line = bad.line
    return f"rejected: {line.source.path} line {line.number} at byte {line.offset}: {bad.reason} {bad.detail}"


COMMANDS: dict[str, click.Command] = {"tail": tail}
