# SPDX-License-Identifier: Apache-2.0
"""The exact pass: every record of a source, read or refused, in its order.

A JSON file is taken line by line when its first line is a JSON text of its own, and as one document otherwise. A
document is held in memory as a whole; lines are not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType

import msgspec

from ..._base.typed import json_decoder
from ..formats import Bad, Part, Refused, detected, named
from ..formats.part import Document, Lines
from ..formats.strict import BOM
from .lines import HEAD as CUT_TO
from .lines import LINE_MAX, lines
from .source import Source

#: How much of the beginning is looked at to tell the format.
HEAD = 1 << 16
_json = json_decoder(msgspec.Raw)


def parts(source: Source, format: str | None = None, columns: Mapping[str, str] | None = None) -> Iterator[Part | Bad]:
    """What stands in a source, stretch by stretch; together they tile it. format: by its name; told by the head by
    default.

    Raises ConfigurationError when it is none of the formats known here.
    """
    begins = beginning(source, format)
    if begins is None:
        yield from cut(source, 0, 0)
    elif begins.is_document:
        yield from _document(source, begins.module.Document())
    elif hasattr(begins.module, "Lines"):
        yield from _lines(source, begins.module.Lines(columns))
    else:
        yield from _texts(source, begins.module.Document())


@dataclass(frozen=True, slots=True)
class Beginning:
    """What a source begins with. lines: the first ones, of which the last may be cut."""

    module: ModuleType
    is_document: bool
    lines: list[bytes]


def beginning(source: Source, format: str | None = None) -> Beginning | None:
    """A source's format; nothing when it is empty. Raises ConfigurationError when it is none of those known here."""
    head = source.head(HEAD)
    if not head:
        return None
    module = named(format) if format else detected(head[:HEAD], source.name)
    found = head.split(b"\n")
    return Beginning(module, _is_document(module, found), found)


def _is_document(module: ModuleType, found: list[bytes]) -> bool:
    """Whether this is one JSON text over several lines. One broken first line makes no document of a file of lines."""
    if not hasattr(module, "Document"):
        return False
    saying = [line.removeprefix(BOM).strip() for line in found if line.strip(BOM + b" \t\r")][:2] or [b""]
    return saying[0] in (b"[", b"{") or not any(_is_json(line) for line in saying)


def _is_json(line: bytes) -> bool:
    try:
        _json.decode(line)
    except msgspec.DecodeError:
        return False
    return True


def _document(source: Source, document: Document) -> Iterator[Part | Bad]:
    text = b"".join(source.chunks())
    skipped = len(BOM) if text.startswith(BOM) else 0
    if source.damage:
        yield Bad(source.name, 0, len(text), 1, source.damage, text)
        return
    if skipped:
        yield Part(source.name, 0, skipped, 1, [], between=True)
    yield from document.pieces(text[skipped:], source.name, skipped, 1)


def _lines(source: Source, reader: Lines) -> Iterator[Part | Bad]:
    name, spans = source.name, reader.spans
    number, offset, text, length = 0, 0, b"", 1
    for number, (offset, text, length) in enumerate(lines(source.chunks()), 1):
        if not text or text.isspace():
            yield Part(name, offset, length, number, [], True)
            continue
        odd = _odd(source, text, length)
        if odd:
            yield Bad(name, offset, length, number, odd, _raw(text, length))
            continue
        try:
            yield Part(name, offset, length, number, spans(text if offset else text.removeprefix(BOM)))
        except Refused as refused:
            yield Bad(name, offset, length, number, str(refused), _raw(text, length))
    if length > len(text):
        yield from cut(source, number, offset + length)
    if rest := reader.rest():
        yield Part(name, offset + length, 0, number, rest)


def one_line(source: Source, reader: Lines, offset: int, said: bytes, number: int) -> Part | Bad:
    """One line, with its line feed where it has one."""
    name, text, length = source.name, said.removesuffix(b"\n"), len(said)
    if len(text) > LINE_MAX:
        text = text[:CUT_TO]
    if not text or text.isspace():
        return Part(name, offset, length, number, [], blank=True)
    odd = _odd(source, text, length)
    if odd:
        return Bad(name, offset, length, number, odd, _raw(text, length))
    try:
        spans = reader.spans(text if offset else text.removeprefix(BOM))
    except Refused as refused:
        return Bad(name, offset, length, number, str(refused), said)
    return Part(name, offset, length, number, spans)


def _texts(source: Source, reader: Document) -> Iterator[Part | Bad]:
    """Each line is a JSON text with spans inside."""
    number, offset, text, length = 0, 0, b"", 1
    for number, (offset, text, length) in enumerate(lines(source.chunks()), 1):
        if not text or text.isspace():
            yield Part(source.name, offset, length, number, [], blank=True)
        elif odd := _odd(source, text, length):
            yield Bad(source.name, offset, length, number, odd, _raw(text, length))
        else:
            skipped = len(BOM) if not offset and text.startswith(BOM) else 0
            if skipped:
                yield Part(source.name, 0, skipped, 1, [], between=True)
            yield from reader.pieces(_raw(text, length)[skipped:], source.name, offset + skipped, number)
    if length > len(text):
        yield from cut(source, number, offset + length)


def _odd(source: Source, text: bytes, length: int) -> str:
    """Why a line is refused unread."""
    if length > len(text) + 1:
        return "longer than the longest line"
    if source.damage and length == len(text):
        return source.damage  # guard: what a cut left over is no whole line
    return ""


def cut(source: Source, number: int, end: int) -> Iterator[Bad]:
    """Where a damaged stream ended, when it ended between two lines: a cut inside of a line is that line's."""
    if source.damage:
        yield Bad(source.name, end, 0, number + 1, source.damage, b"")


def _raw(text: bytes, length: int) -> bytes:
    return text + b"\n" if length > len(text) else text
