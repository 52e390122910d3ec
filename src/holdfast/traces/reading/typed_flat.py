# SPDX-License-Identifier: Apache-2.0
"""Flat lines of one shape, many at once; ``typed`` says why that is right. Pure.

A shape is made from the first lines of a file: which keys they all have, which ones some have, and what stands there.
A value is a text, a number, a truth value, or an object of such values (``attributes``, ``tags``), and null as well
where a line had it so. Lists, and fields that are now a text and now a number, have no shape.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from operator import attrgetter
from typing import Annotated, Any, Union

import msgspec
from msgspec import UNSET, Meta, UnsetType

from ..._base.typed import json_decoder
from ..formats.bad import Refused
from ..formats.spans import FIELDS, pairs, span_of, unit_of
from ..formats.strict import INT_MAX
from ..formats.words import has_failed, kind
from .counting import is_text
from .typed import DIGITS, FAULTS, Batch, Scalar, digits, inner, place, quotes, texts_among

#: Keys of a shape; more are no shape.
_KEYS_MAX = 60
_REQUIRED = ("trace_id", "span_id", "start")
#: What a field's values may be, all of one type.
_ALLOWED: dict[str, tuple[type, ...]] = {
    "trace_id": (str,), "span_id": (str,), "parent_id": (str,), "service": (str,), "operation": (str,),
    "start": (int, str), "end": (int, str), "duration": (int, str), "kind": (str, int), "error": (bool, str, int),
    "status": (bool, str, int), "host": (str,), "follows": (bool,), "attributes": (dict,)}


@dataclass(slots=True)
class _Key:
    """What the first lines say of one key. in_all: each line has it. field: which one it is; may be none."""

    name: str
    field: str
    in_all: bool
    kinds: set[type]
    inner: set[type]

    @property
    def is_null(self) -> bool:
        return type(None) in self.kinds


def shape_of(lines: Iterable[bytes], numpy: Any = None) -> TypedFlat | None:
    """The shape of these lines, of which some may be bad; nothing when they have none. numpy: the module, if any."""
    records = []
    for line in lines:
        try:
            record = pairs(line)
            span_of(record)
        except Refused:
            continue
        records.append(record)
    keys = _keys(records)
    return TypedFlat(keys, numpy) if keys and all(map(_is_simple, keys)) else None


def _keys(records: list[dict[str, Any]]) -> list[_Key]:
    names = list(dict.fromkeys(name for record in records for name in record))
    if len(names) > _KEYS_MAX:
        return []
    in_all = {name for name in names if all(name in record for record in records)}
    fields: dict[str, str] = {}
    for field, known in FIELDS.items():
        found = [name for name in known if name in names]
        if len(found) > 1 and found[0] not in in_all:
            return []  # guard: which of two names counts is the same for all lines
        if found:
            fields[found[0]] = field
    said = {field: name in in_all for name, field in fields.items()}
    if not all(said.get(field) for field in _REQUIRED) or not (said.get("end") or (
            "end" not in said and said.get("duration"))):
        return []
    return [_Key(name, fields.get(name, ""), name in in_all, {type(record[name]) for record in records
                                                               if name in record},
                 {type(value) for record in records if isinstance(record.get(name), dict)
                  for value in record[name].values()}) for name in names]


def _is_simple(key: _Key) -> bool:
    kinds = key.kinds - {type(None)}
    if key.field:
        return len(kinds) <= 1 and kinds <= set(_ALLOWED[key.field]) and not key.inner & {dict, list}
    return list not in kinds and (dict not in kinds or (len(kinds) == 1 and not key.inner & {dict, list}))


class TypedFlat:
    """Decodes lines that have such keys."""

    def __init__(self, keys: list[_Key], numpy: Any = None) -> None:
        self._numpy = numpy
        self._keys = keys
        names = {key.field or f"k{n}": key for n, key in enumerate(keys)}
        units = {key.field: unit_of(key.name) for key in keys}
        self._units = units
        fields = [_declared(name, key, units.get(key.field, 1)) for name, key in names.items()]
        fields += [(field, str, "") for field in ("service", "operation") if field not in names]
        made: Any = msgspec.defstruct(
            "Line", fields,
            rename={name: key.name for name, key in names.items()}, kw_only=True, gc=False)
        self._decode = json_decoder(made).decode_lines
        #: Fields whose values are what they are to be.
        self._plain = {key.field for key in keys if key.in_all and key.kinds == (
            {bool} if key.field in ("error", "status") else {str})}
        self._in_ns = all(key.kinds == {int} and units[key.field] == 1 for key in keys
                          if key.field in ("start", "end", "duration")) and "end" in units
        #: Quotes that each line has, and keys that have to be looked at for more.
        self._quotes = sum(2 + 2 * (key.kinds == {str}) for key in keys if key.in_all)
        self._looked_at = [(attrgetter(name), key) for name, key in names.items()
                           if not key.in_all or (key.kinds & {str, dict} and key.kinds != {str})]

    def batch(self, text: bytes) -> Batch | int:
        """As in Typed."""
        try:
            rows = self._decode(text)
        except FAULTS as error:
            return place(error, text)
        found = self._quotes * len(rows)
        for get, key in self._looked_at:
            found += 2 * _found(list(map(get, rows)), key)
        if quotes(text, len(rows), self._numpy) != found:  # guard: no key is there twice, and none is unknown
            return -1
        if not text.isascii() and not is_text(text):
            return -1
        us, failed = self._durations(rows), self._failed(rows)
        if us is None or failed is None or not self._has_kinds(rows):
            return -1
        return Batch(len(rows), self._texts("service", [row.service for row in rows]),
                     self._texts("operation", [row.operation for row in rows]), us, failed)

    def _texts(self, field: str, column: list[Any]) -> list[str]:
        return column if field in self._plain else [text or "" for text in column]

    def _durations(self, rows: list[Any]) -> list[int] | None:
        """µs; nothing when a time is none, or an end before its start."""
        us = [(row.end - row.start) // 1000 for row in rows] if self._in_ns else self._scaled(rows)
        return us if us and min(us) >= 0 else None  # guard: no span ends before it begins

    def _scaled(self, rows: list[Any]) -> list[int]:
        """The same of times that are texts, or of any unit, or durations; may be nothing."""
        until = "end" if "end" in self._units else "duration"
        start, took = [row.start for row in rows], self._units["start"]
        other, unit = [getattr(row, until) for row in rows], self._units[until]
        if type(start[0]) is str:
            start = digits(start, INT_MAX // took)
        if type(other[0]) is str:
            other = digits(other, INT_MAX // unit)
        if until == "duration":
            if start and other and max(start) * took + max(other) * unit > INT_MAX:
                return []
            return [one * unit // 1000 for one in other] if start else []
        return [(end * unit - begin * took) // 1000 for begin, end in zip(start, other, strict=False)]

    def _failed(self, rows: list[Any]) -> list[bool] | None:
        """Which ones have failed; nothing when a word is unknown."""
        found: list[bool] = []
        for field in ("error", "status"):
            if field not in self._units:
                continue
            column = [getattr(row, field) for row in rows]
            now = column if field in self._plain else _said_failed(column, field)
            if now is None:
                return None
            if True in now:
                found = [one or other for one, other in zip(found, now, strict=True)] if found else now
        return found

    def _has_kinds(self, rows: list[Any]) -> bool:
        if "kind" not in self._units:
            return True
        try:
            for value in {row.kind for row in rows}:
                kind(_word(value))
        except Refused:
            return False
        return True


def _said_failed(column: list[Any], field: str) -> list[bool] | None:
    said = {}
    for value in set(column):
        try:
            said[value] = has_failed(_word(value), field)
        except Refused:
            return None
    return [said[value] for value in column]


def _word(value: object) -> str:
    return "" if value is None or value is UNSET else str(value)


def _found(column: list[Any], key: _Key) -> int:
    """How many keys there are in this column beside those that each line has, and how many texts: of one key, and of
    the objects under it."""
    gone = column.count(UNSET) if not key.in_all else 0
    found = 0 if key.in_all else len(column) - gone
    if key.kinds & {dict}:
        objects = [one for one in column if one] if not key.in_all or key.is_null else column
        size = sum(map(len, objects))
        return found + size + (size if key.inner == {str} else texts_among(inner(objects)) if str in key.inner else 0)
    if key.kinds == {str, type(None)} or (key.kinds == {str} and not key.in_all):
        return found + len(column) - gone - column.count(None)
    return found + (texts_among(column) if str in key.kinds else 0)


def _declared(name: str, key: _Key, unit: int) -> tuple[Any, ...]:
    """A field of the struct. All texts are read as what they are: nothing is converted."""
    kinds = key.kinds | ({int, float} if not key.field and int in key.kinds else set())
    said: Any = Union[tuple(_type_of(one, key, unit) for one in sorted(kinds, key=str))]  # noqa: UP007 - of a tuple
    return (name, said) if key.in_all else (name, said | UnsetType, UNSET)


def _type_of(one: type, key: _Key, unit: int) -> Any:
    if one is type(None):
        return None
    if one is dict:
        return dict[str, str] if key.inner == {str} else dict[str, Scalar]
    if key.field in ("trace_id", "span_id"):
        return Annotated[str, Meta(min_length=1)]  # guard: an id says something
    if key.field in ("start", "end", "duration") and one is int:
        return Annotated[int, Meta(ge=-(INT_MAX // unit), le=INT_MAX // unit)]  # guard: no number beyond 64 bits
    if key.field in ("start", "end", "duration"):
        return DIGITS
    return one
