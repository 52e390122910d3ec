# SPDX-License-Identifier: Apache-2.0
"""``holdfast logs check``: what can be read of a file, and the exact place of what cannot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

import click
import msgspec

from .context import server_options
from .logs_formats import chosen, format_options, multiline_of
from .output import json_option, print_json, print_table, say, show

if TYPE_CHECKING:
    from ..logs.line import Line
    from ..logs.stages import Stages
    from ..traces.reading import Source

#: The beginning of a file by which its format is told, in bytes.
_HEAD: Final = 1 << 16
#: Bad lines that are shown to people; --json has them all.
_SHOWN: Final = 20


class BadLine(msgspec.Struct, frozen=True, kw_only=True):
    """A range that is no record. ``offset`` and ``length`` count bytes of the content, terminator included; ``line``
    counts from 1."""

    offset: int
    length: int
    reason: str
    line: int
    detail: str = ""


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """What a file holds. ``lines`` = ``ok`` + ``rejected`` + ``blank``, and their ranges tile its ``bytes``."""

    file: str
    format: str
    lines: int
    ok: int
    rejected: int
    blank: int
    bytes: int
    bad: list[BadLine]


@click.command("check")
@click.argument("file", metavar="FILE")
@format_options
@json_option
@server_options()
def check(*, file: str, format_: str | None, pattern: str | None, multiline: str | None, as_json: bool) -> int:
    """Read a file as a pipeline would, and say what of it is no record. Answers 1 when something is not.

    Each line is ok, rejected or blank (a header counts as blank), and their ranges tile the file exactly. Files may be
    compressed (gzip, Zstandard); offsets then count what is inside. `-` reads standard input.
    """
    found = checked(file, format_, pattern, multiline)
    if as_json:
        print_json(found)
        return int(found.rejected > 0)
    reasons = Counter(one.reason for one in found.bad)
    if reasons:
        print_table(["reason", "lines"], [[reason, count] for reason, count in reasons.most_common()])
        show()
        print_table(["line", "offset", "length", "reason", "detail"],
                    [[one.line, one.offset, one.length, one.reason, one.detail] for one in found.bad[:_SHOWN]])
        if len(found.bad) > _SHOWN:
            say(f"… and {len(found.bad) - _SHOWN} more: --json has them all")
    say(f"{file} ({found.format}): {found.lines} lines, {found.ok} ok, {found.rejected} rejected, {found.blank} blank")
    return int(found.rejected > 0)


def checked(file: str, format_: str | None = None, pattern: str | None = None, multiline: str | None = None) -> Checked:
    """Reads the file through. ConfigurationError when it cannot be opened, or the format is none."""
    from ..traces.reading import Source

    source = Source(file)
    name, stages = chosen(format_, pattern, source.head(_HEAD)[:_HEAD])
    if stages is None and multiline is not None:
        raise click.UsageError(f"--multiline goes with formats of lines, and {file} is read as {name}")
    tally = _Tally()
    for stretch in _of_spans(source, name) if stages is None else _of_lines(source, stages, multiline):
        tally.add(stretch)
    return Checked(file=file, format=name, lines=tally.lines.total(), ok=tally.lines["ok"],
                   rejected=tally.lines["rejected"], blank=tally.lines["blank"], bytes=tally.end, bad=tally.bad)


class _Stretch(NamedTuple):
    """A range of bytes and what became of it: ok, rejected, blank, or between (brackets around records)."""

    offset: int
    length: int
    lines: int
    became: str
    bad: BadLine | None = None


class _Tally:
    """What was found so far."""

    def __init__(self) -> None:
        self.lines = Counter[str]()
        self.bad: list[BadLine] = []
        self.end = 0

    def add(self, stretch: _Stretch) -> None:
        if stretch.offset != self.end:  # guard: ranges tile the file
            raise AssertionError(f"a range begins at {stretch.offset}, and the one before it ended at {self.end}")
        self.end += stretch.length
        if stretch.became != "between":
            self.lines[stretch.became] += stretch.lines
        if stretch.bad is not None:
            self.bad.append(stretch.bad)


def _of_spans(source: Source, name: str) -> Iterator[_Stretch]:
    from ..traces.reading import Bad, parts

    for found in parts(source, name):
        if isinstance(found, Bad):
            bad = BadLine(offset=found.offset, length=found.length, reason=found.reason, line=found.line)
            yield _Stretch(found.offset, found.length, 1, "rejected", bad)
        elif found.length or not found.spans:
            header = name == "csv" and not found.offset and not found.spans
            became = "between" if found.between else "blank" if found.blank or header else "ok"
            yield _Stretch(found.offset, found.length, 1, became)


def _of_lines(source: Source, stages: Stages, multiline: str | None) -> Iterator[_Stretch]:
    from .._base.clock import Instant
    from ..logs.assemble import Assembler
    from ..logs.line import Source as Content
    from ..logs.tail.splitter import Splitter

    splitter, assembler = Splitter(Content(id="", path=source.name)), Assembler(multiline_of(multiline))
    judged, never = _judging(stages), Instant(0.0)
    for chunk in source.chunks():
        yield from map(judged, assembler.feed(splitter.feed(chunk), never))
    end = splitter.offset
    last = [*assembler.feed(splitter.end(), never), *assembler.flush()]
    for event in last:
        # guard: what a cut left over is no whole line
        yield judged(event, source.damage if event is last[-1] and not event.ended else "")
        end = event.end
    if source.damage and not (last and not last[-1].ended):
        yield _Stretch(end, 0, 1, "rejected", BadLine(offset=end, length=0, reason=source.damage, line=splitter.number))


def _judging(stages: Stages) -> Callable[..., _Stretch]:
    from ..logs.record import Record, Rejected

    def judged(event: Line, damage: str = "") -> _Stretch:
        found = Rejected(line=event, stage="read", reason=damage) if damage else stages.judge(event)
        if isinstance(found, Record):
            return _Stretch(event.offset, event.length, event.lines, "ok")
        if isinstance(found, Rejected):
            bad = BadLine(offset=event.offset, length=event.length, reason=found.reason, line=event.number,
                          detail=found.detail)
            return _Stretch(event.offset, event.length, event.lines, "rejected", bad)
        return _Stretch(event.offset, event.length, event.lines, "blank" if found.blank else "ok")

    return judged


COMMANDS: dict[str, click.Command] = {"check": check}
