# SPDX-License-Identifier: Apache-2.0
"""What a writer of spans is: how a file of it begins, what stands between two traces, and one trace of it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import msgspec

from ...._base.typed import json_decoder
from ...span import Span


class _Entry(msgspec.Struct):
    """An attribute as OTLP writes it."""

    key: str
    value: dict[str, Any] | None = None


_objects = json_decoder(dict[str, Any])
_entries = json_decoder(list[_Entry])


@dataclass(frozen=True, slots=True)
class Form:
    """A format. one: the text of a trace's spans, at least one. losses: what of a span it cannot hold, in words."""

    name: str
    head: bytes
    between: bytes
    tail: bytes
    one: Callable[[str, list[Span]], bytes]
    losses: Callable[[Span], Iterable[str]]


@dataclass(slots=True)
class Written:
    """What was written. lost: spans by what of them the format could not hold."""

    traces: int = 0
    spans: int = 0
    lost: Counter[str] = field(default_factory=Counter)


def write(form: Form, traces: Iterable[tuple[str, list[Span]]], to: BinaryIO) -> Written:
    """Writes traces, each an id and its spans. Holds one of them at a time."""
    done = Written()
    to.write(form.head)
    for trace_id, spans in traces:
        if done.traces:
            to.write(form.between)
        to.write(form.one(trace_id, spans))
        done.traces += 1
        done.spans += len(spans)
        for span in spans:
            done.lost.update(form.losses(span))  # guard: what a format cannot hold is counted
    to.write(form.tail)
    return done


def nanoseconds(span: Span) -> list[str]:
    """What a format of whole µs loses of a span's times."""
    return ["times below a µs"] if span.start_ns % 1000 or span.end_ns % 1000 else []


def is_hex(text: str, digits: int) -> bool:
    """Is it an id of so many hex digits at most?"""
    return 0 < len(text) <= digits and not set(text) - set("0123456789abcdef")


def attributes_of(span: Span) -> dict[str, Any]:
    """Its attributes as values, by name: those that were read from OTLP stand as its lists of ``{key, value}``. What is
    neither such a list nor an object is kept under one name, and so is not lost."""
    if not span.attributes:
        return {}
    try:
        return _objects.decode(span.attributes)
    except msgspec.DecodeError:
        pass
    try:
        return {one.key: plain(one.value) for one in _entries.decode(span.attributes)}
    except msgspec.DecodeError:
        return {"attributes": span.attributes}


def plain(value: dict[str, Any] | None) -> Any:
    """A value of OTLP (``{"intValue": "3"}``) as JSON has it (``3``)."""
    for kind, one in (value or {}).items():
        if kind == "intValue" and isinstance(one, str) and one.removeprefix("-").isdigit():
            return int(one)
        if kind == "arrayValue":
            return [plain(inner) for inner in (one or {}).get("values", ())]
        if kind == "kvlistValue":
            return {inner["key"]: plain(inner.get("value")) for inner in (one or {}).get("values", ())}
        return one
    return None


def as_text(value: Any) -> str:
    """A value where only text can stand: text as it is, all else as JSON."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
