# SPDX-License-Identifier: Apache-2.0
"""Nested objects of one shape as types, and how many quotes they have; ``typed`` says what that is good for. Pure.

A level is made from objects that stand in one place: which keys they all have, which ones some have, and what stands
there: texts, numbers, truth values, null, an object, or a list of objects. Each of these has a level below. What else
there is has no shape.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter
from typing import Annotated, Any, Union

import msgspec
from msgspec import UNSET, Meta, UnsetType

from .typed import texts_among

_KEYS_MAX = 60
_DEPTH_MAX = 12
_SCALARS = {str, int, float, bool}


class Shapeless(Exception):
    """These objects have no shape that is known here. A verdict: whoever asked reads them another way."""


@dataclass(slots=True)
class Key:
    """What stands under one name. in_all: each object has it. below: of objects and lists of them."""

    name: str
    get: attrgetter[Any]
    in_all: bool
    is_null: bool
    kinds: set[type]
    below: Level | None


class Level:
    """What stands in one place. path: names of keys, from the outside. types: of some paths, instead of what is seen
    there; what is under them is left alone."""

    def __init__(self, records: Sequence[Mapping[str, Any]], types: Mapping[str, Any], path: str = "") -> None:
        names = list(dict.fromkeys(name for record in records for name in record))
        if len(names) > _KEYS_MAX or path.count(".") > _DEPTH_MAX:
            raise Shapeless
        self._keys, fields = [], []
        for n, name in enumerate(names):
            where = f"{path}.{name}"
            values = [record[name] for record in records if name in record]
            key = Key(name, attrgetter(f"k{n}"), len(values) == len(records), None in values,
                       {type(value) for value in values} - {type(None)}, None)
            said = types[where] if where in types else _type(key, values, types, where)
            said = Union[said, None] if key.is_null else said  # noqa: UP007 - of any types
            fields.append((f"k{n}", said) if key.in_all else (f"k{n}", Union[said, UnsetType], UNSET))  # noqa: UP007
            self._keys.append(key)
        self.keys = {key.name: key for key in self._keys}
        self.type = msgspec.defstruct("Level", fields, rename={f"k{n}": name for n, name in enumerate(names)},
                                      kw_only=True, gc=False)
        self._quotes = sum(2 + 2 * (key.kinds == {str} and not key.is_null) for key in self._keys if key.in_all)
        self._looked_at = [key for key in self._keys if key.below or not key.in_all or (
            str in key.kinds and (key.is_null or key.kinds != {str}))]
        self._is_plain = not self._looked_at

    def quotes(self, rows: Sequence[Any]) -> int:
        """How many these have, and all below them, in the least case."""
        found = self._quotes * len(rows)
        for key in self._looked_at:
            column = list(map(key.get, rows))
            if not key.in_all:
                column = [one for one in column if one is not UNSET]
                found += 2 * len(column)
            if key.below:
                found += key.below.quotes_of(key, column)
            elif str in key.kinds:
                found += 2 * texts_among(column)
        return found

    def quotes_of(self, key: Key, column: list[Any]) -> int:
        """The same of what stands under a key."""
        if key.is_null:
            column = [one for one in column if one is not None]
        if key.kinds == {dict}:
            return self._quotes * len(column) if self._is_plain else self.quotes(column)
        if self._is_plain:
            return self._quotes * sum(map(len, column))
        return self.quotes(list(chain.from_iterable(column)))


def _type(key: Key, values: list[Any], types: Mapping[str, Any], where: str) -> Any:
    kinds = key.kinds
    if kinds == {dict}:
        key.below = Level([value for value in values if value is not None], types, where)
        return key.below.type
    if kinds == {list}:
        elements = [one for value in values for one in value or ()]
        if not all(type(one) is dict for one in elements):
            raise Shapeless
        key.below = Level(elements, types, where)
        return list[key.below.type] if elements else Annotated[list[Any], Meta(max_length=0)]  # type: ignore[name-defined]
    if not kinds <= _SCALARS:
        raise Shapeless
    if kinds & {int, float} and key.name == "doubleValue":
        kinds = kinds | {int, float}
    return Union[tuple(sorted(kinds, key=str))] if kinds else None  # noqa: UP007 - of a tuple
