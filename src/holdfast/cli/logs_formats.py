# SPDX-License-Identifier: Apache-2.0
"""Which format a file is checked by: one of lines, or one of spans. Named, or told by how the file begins.

Formats of spans are asked first, for each of them has a beginning of its own. Of lines a file has the format that most
of its first ones have; what is none of them is text, ``lines``: UTF-8 without zero bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from ..errors import ConfigurationError

if TYPE_CHECKING:
    from ..logs.line import Line
    from ..logs.stages import Stages

#: So many of a file's first lines are tried.
_TRIED: Final = 100
#: Tried in this order; the first that reads most lines.
_BEFORE: Final = b"\xef\xbb\xbf \t"
_GUESSED: Final = ("json", "csv", "combined", "common", "level", "syslog", "logfmt")


def format_options(command: Any) -> Any:
    """``--format`` and what goes with it."""
    for option in (
        click.option("--multiline", metavar="PRESET", help="lines that belong together: python, java, go, indented"),
        click.option("--pattern", help="of --format text: an RE2 pattern with named groups"),
        click.option("--format", "format_", metavar="FORMAT",
                     help="json, csv, logfmt, text, lines, raw, common, combined, syslog, level; or of spans: otlp, "
                          "spans, jaeger, zipkin, csv, text  [default: as the file begins]"),
    ):
        command = option(command)
    return command


def stages_for(name: str, pattern: str | None = None) -> Stages | None:
    """How lines of the format are judged; None when it is none of lines. ConfigurationError, MissingExtra."""
    from ..logs.parse.parser import Parser, parser_called
    from ..logs.parse.patterns import NAMED
    from ..logs.stages import Stages

    if pattern is not None and name != "text":
        raise ConfigurationError("--pattern goes with --format text")
    if name == "lines":
        return Stages(Parser("lines", _Readable()))
    if name in NAMED or (name == "text" and pattern is not None):
        return Stages(parser_called("text", pattern=pattern or name))
    if name in ("json", "csv", "logfmt", "raw"):
        return Stages(parser_called(name))
    return None


def multiline_of(preset: str | None) -> Any:
    """The rule by which lines become events; None: each is one."""
    if preset is None:
        return None
    from ..logs.assemble import Multiline
    from ..logs.joining import joining

    return Multiline(joins=joining(preset=preset))


def span_formats() -> tuple[str, ...]:
    """Names of the formats of spans."""
    from ..traces.formats import NAMES

    return NAMES


def span_format_of(head: bytes) -> str | None:
    """The format of spans that a file of this beginning has; None: it has none. Lines of a log that name a trace are
    still lines of a log: ``text`` has to be asked for."""
    from ..traces.formats import Refused, detected

    try:
        module = detected(head, "")
        if module.NAME == "csv":  # other tables have columns of traces too
            module.Lines(None).spans(head.partition(b"\n")[0].removesuffix(b"\r"))
    except (ConfigurationError, Refused):
        return None
    return None if module.NAME == "text" else str(module.NAME)


def chosen(name: str | None, pattern: str | None, head: bytes) -> tuple[str, Stages | None]:
    """The format, and how its lines are judged; None for one of spans. ConfigurationError for one there is not."""
    if name is None:
        if pattern is not None:
            return "text", stages_for("text", pattern)
        name = span_format_of(head)
        return (name, None) if name is not None else guessed(head)
    if name in span_formats() and pattern is None and not (name == "csv" and span_format_of(head) != "csv"):
        return name, None
    stages = stages_for(name, pattern)
    if stages is None:
        raise ConfigurationError("--format text needs --pattern, an RE2 pattern with named groups" if name == "text"
                                 else f"there is no format {name!r}: see `holdfast logs check --help`")
    return name, stages


def guessed(head: bytes) -> tuple[str, Stages | None]:
    """The format that most of the first lines have."""
    from ..logs.line import Source
    from ..logs.tail.splitter import Splitter

    lines = [line for line in Splitter(Source(id="", path="")).feed(head) if line.raw.strip()][:_TRIED]
    for name in _GUESSED if lines else ():
        stages = stages_for(name)
        if stages is not None and _fits(name, stages, lines):
            fresh = stages_for(name)
            return name, fresh
    return "lines", stages_for("lines")


def _fits(name: str, stages: Stages, lines: Sequence[Line]) -> bool:
    from ..logs.record import Record

    if name == "json":  # one that is not read was to be one all the same
        return 2 * sum(line.raw.lstrip(_BEFORE).startswith(b"{") for line in lines) > len(lines)
    judged = [stages.judge(line) for line in lines]
    read = [one for one in judged if isinstance(one, Record)]
    if name == "csv" and (len(lines) < 2 or not all(len(one.fields) > 1 for one in read)):
        return False
    return 2 * len(read) > len(lines) - (name == "csv")


class _Readable:
    """Decodes text."""

    wants_first = False

    def begin(self, source_id: str, first: bytes) -> None:
        """Nothing has to be known."""

    def decode(self, line: Any, content: bytes) -> Any:
        """UTF-8 without zero bytes."""
        from ..logs.parse.flaw import Flaw, readable_text

        text = readable_text(content)
        return text if isinstance(text, Flaw) else {"message": text}

