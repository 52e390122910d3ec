# SPDX-License-Identifier: Apache-2.0
"""OTLP's lines of one shape, many spans at once; ``typed`` says why that is right. Pure.

The shape is that of the first lines. Resources repeat: what each says is found once, the exact way, and kept by its
bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from operator import sub
from typing import Annotated, Any

from msgspec import UNSET, Meta, Raw

from ..._base.typed import json_decoder
from ..formats import otlp
from ..formats.bad import Refused
from ..formats.strict import INT_MAX, unique
from ..formats.words import has_failed, kind
from .counting import is_text
from .levels import Key, Level, Shapeless
from .typed import DIGITS, FAULTS, Batch, digits, place, quotes

_ID = Annotated[str, Meta(min_length=1)]  # guard: an id says something
_TIME = Annotated[int, Meta(ge=0, le=INT_MAX)]
_PROCESS, _LIBRARY = ".resourceSpans", ".resourceSpans.scopeSpans"
_SPAN = f"{_LIBRARY}.spans"
#: What may stand where; other keys there mean something else than what is read here.
_ONLY = {"": {"resourceSpans"}, _PROCESS: {"resource", "scopeSpans", "schemaUrl"},
         _LIBRARY: {"scope", "spans", "schemaUrl"}}
_STARTS = ("startTimeUnixNano", "endTimeUnixNano")
#: The other spelling of the keys, which is that of a whole line wherever it says this.
_SNAKE = b'"resource_spans"'
#: Resources that are kept.
_KEPT = 1_000


def shape_of(lines: Iterable[bytes], numpy: Any = None) -> TypedNested | None:
    """The shape of these lines, of which some may be bad; nothing when they have none. numpy: the module, if any."""
    reader, records = otlp.Lines(), []
    for line in lines:
        try:
            if reader.spans(line) and _SNAKE not in line:
                records.append(unique(line))
        except Refused:
            continue
    return _made(records, numpy) or _made([record for record in records if _made([record])], numpy)


def _made(records: list[dict[str, Any]], numpy: Any = None) -> TypedNested | None:
    """Of lines whose times are all texts, or all numbers: of the kind that most of them have."""
    texts = [record for record in records if _times(record) == {str}]
    numbers = [record for record in records if _times(record) == {int}]
    try:
        return TypedNested(max(texts, numbers, key=len), numpy) if texts or numbers else None
    except Shapeless:
        return None


def _times(record: dict[str, Any]) -> set[type]:
    return {type(span[name]) for process in record["resourceSpans"] for library in process.get("scopeSpans") or ()
            for span in library.get("spans") or () for name in _STARTS}


class TypedNested:
    """Decodes lines like these records."""

    def __init__(self, records: list[dict[str, Any]], numpy: Any = None) -> None:
        self._numpy = numpy
        self._are_texts = _times(records[0]) == {str}
        types: dict[str, Any] = {f"{_PROCESS}.resource.attributes": Raw}
        types |= {f"{_SPAN}.traceId": _ID, f"{_SPAN}.spanId": _ID}
        types |= {f"{_SPAN}.{name}": DIGITS if self._are_texts else _TIME for name in _STARTS}
        self._level = Level(records, types)
        self._decode = json_decoder(self._level.type).decode_lines
        processes = _list_in(self._level, "resourceSpans", _ONLY[""])
        libraries = _list_in(processes.below, "scopeSpans", _ONLY[_PROCESS])
        spans = _list_in(libraries.below, "spans", _ONLY[_LIBRARY])
        self._processes, self._libraries, self._spans = processes.get, libraries.get, spans.get
        self._resource = _getter(processes.below, "resource")
        self._attributes = _getter(_below(processes.below, "resource"), "attributes")
        self._name, self._kind = _getter(spans.below, "name"), _getter(spans.below, "kind")
        self._status, self._code = _getter(spans.below, "status"), _getter(_below(spans.below, "status"), "code")
        self._times = [_getter(spans.below, name) for name in _STARTS]
        self._known: dict[bytes, tuple[str, int]] = {}

    def batch(self, text: bytes) -> Batch | int:
        """As in Typed."""
        try:
            rows = self._decode(text)
            services, spans, found = self._flat(rows)
        except FAULTS as error:
            return place(error, text)
        except Refused:
            return -1
        if not spans or (b"_" in text and _SNAKE in text) or (not text.isascii() and not is_text(text)):
            return -1
        found += self._level.quotes(rows)
        if quotes(text, len(rows), self._numpy) != found:  # guard: no key of OTLP is there twice, and none is unknown
            return -1
        us, failed = self._durations(spans), self._failed(spans)
        if not us or min(us) < 0 or failed is None or not self._has_kinds(spans):
            return -1
        return Batch(len(rows), services, self._names(spans), us, failed)

    def _names(self, spans: list[Any]) -> list[str]:
        return [name or "" for name in map(self._name, spans)] if self._name else [""] * len(spans)

    def _flat(self, rows: list[Any]) -> tuple[list[str], list[Any], int]:
        """Each span's service, the spans, and the quotes of resources. Raises Refused."""
        services: list[str] = []
        spans: list[Any] = []
        more = 0
        for process in chain.from_iterable(map(self._processes, rows)):
            service, its_quotes = self._said(process)
            more += its_quotes
            for library in self._libraries(process):
                its = self._spans(library)
                spans += its
                services += [service] * len(its)
        return services, spans, more

    def _said(self, process: Any) -> tuple[str, int]:
        """A resource's service, and the quotes of its attributes. Raises Refused."""
        resource = self._resource(process) if self._resource else None
        attributes = self._attributes(resource) if resource and self._attributes else UNSET
        if attributes is UNSET:
            return "", 0
        raw = bytes(attributes)
        found = self._known.get(raw)
        if found is None:
            unique(raw)  # guard: of two equal keys of a resource none is chosen
            found = otlp.service_of(raw), raw.count(b'"')
            if len(self._known) >= _KEPT:
                self._known.clear()
            self._known[raw] = found
        return found

    def _durations(self, spans: list[Any]) -> list[int]:
        """µs; none when a time is none."""
        starts, ends = (list(map(get, spans)) for get in self._times)
        if self._are_texts:
            starts, ends = digits(starts), digits(ends)
        return [ns // 1000 for ns in map(sub, ends, starts)]

    def _failed(self, spans: list[Any]) -> list[bool] | None:
        """Which ones have failed; nothing when a code is unknown."""
        if not self._code:
            return []
        codes = [self._code(status) if status else None for status in map(self._status, spans)]
        try:
            said = {code: has_failed(str(code or ""), "code") for code in set(codes)}
        except Refused:
            return None
        return [said[code] for code in codes] if True in said.values() else []

    def _has_kinds(self, spans: list[Any]) -> bool:
        try:
            for one in set(map(self._kind, spans)) if self._kind else ():
                kind(str(one or ""))
        except Refused:
            return False
        return True


def _list_in(level: Level | None, name: str, only: set[str]) -> Key:
    key = level.keys.get(name) if level else None
    if not level or not key or not key.below or key.kinds != {list} or not key.in_all or key.is_null or (
            not level.keys.keys() <= only):
        raise Shapeless  # guard: spans stand in one place, and under one name
    return key


def _below(level: Level | None, name: str) -> Level | None:
    return level.keys[name].below if level and name in level.keys else None


def _getter(level: Level | None, name: str) -> Any:
    return level.keys[name].get if level and name in level.keys else None
