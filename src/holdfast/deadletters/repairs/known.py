# SPDX-License-Identifier: Apache-2.0
"""Repairs that know something beside the message: ``lookup``, ``upcast``, ``validate``, and functions of yours.

A letter may be mended twice after a crash, so all of them have to answer the same each time and change nothing outside.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import msgspec

from ..._base.decoder import decoder_for
from ...consume.upcast import Upcasters
from ...errors import ConfigurationError, HoldfastError, MessageError, RepairRefused
from .draft import Draft
from .fields import Change, Repair, of_value
from .options import Options, place
from .pointer import ABSENT, Steps, at, pointer_of, put

#: Longest tables, in bytes.
TABLE_MAX: Final = 64 << 20
Row = Mapping[str, Any]


def loaded(name: str) -> Any:
    """What ``module:name`` names. Raises ConfigurationError."""
    module, _, path = name.partition(":")
    if not module or not path:
        raise ConfigurationError(f"{name!r} is not written module:name")
    try:
        found: Any = import_module(module)
        for step in path.split("."):
            found = getattr(found, step)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"{name}: {error}") from error
    return found


# -- lookup


def lookup(options: Options) -> Repair:
    """``key``: a place in the body whose value is looked up. ``table``: a CSV file with a head line, or a JSON file: a
    list of objects, or one object of objects by key. ``column``: of the table, what is compared with the key. ``take``:
    a table of places in the body and the columns that are put there. ``call``: ``module:function`` in the place of a
    table; it is given the key and answers with an object, or None. ``missing``: refuse, or leave. ``over``: also where
    something is already."""
    key = options.path("key")
    find = _finder(options)
    take = {place(where, options.name): column for where, column in
            options.table("take", "places in the body and the columns that are put there").items()}
    leave = options.one_of("missing", ("refuse", "leave"), "refuse") == "leave"
    over = options.take("over", False) is True
    if not take:
        raise ConfigurationError("the repair lookup wants `take`: {/price: price}")
    return of_value(_looked_up(key, find, take, leave=leave, over=over))


def _looked_up(key: Steps, find: Callable[[Any], Row | None], take: Mapping[Steps, str], *, leave: bool, over: bool
               ) -> Change:
    def change(value: Any) -> Any:
        if not over and all(at(value, where) is not ABSENT for where in take):
            return value
        asked = at(value, key)
        row = None if asked is ABSENT else find(asked)
        if row is None:
            if leave:
                return value
            raise RepairRefused(f"the table has no row for what stands at {pointer_of(key)}" if asked is not ABSENT
                                else f"there is nothing at {pointer_of(key)} to look up")
        for where, column in take.items():
            if column not in row:
                raise RepairRefused(f"the row has no column {column!r}")
            if over or at(value, where) is ABSENT:
                value = put(value, where, row[column])
        return value

    return change


def _finder(options: Options) -> Callable[[Any], Row | None]:
    if "call" in options:
        function = loaded(options.text("call", "module:function"))

        def ask(key: Any) -> Row | None:
            found = _asked("lookup", function, key)
            if found is not None and not isinstance(found, Mapping):
                raise RepairRefused("what was called for the lookup answers with an object, or None")
            return found

        return ask
    path = Path(options.text("table", "a CSV or JSON file"))
    column = options.text("column", "the column that is compared with the key", "")
    _rows(path, column)  # what is wrong with it is said before a letter is due
    return lambda key: _rows(path, column).get(str(key)) if isinstance(key, str | int) else None


def _rows(path: Path, column: str) -> Mapping[str, Row]:
    try:
        stat = path.stat()
    except OSError as error:
        raise ConfigurationError(f"the table {path} of a lookup cannot be read: {error.strerror}") from error
    if stat.st_size > TABLE_MAX:
        raise ConfigurationError(f"the table {path} has {stat.st_size} bytes: at most {TABLE_MAX}")
    return _read(path, column, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=16)
def _read(path: Path, column: str, _: int, __: int) -> Mapping[str, Row]:
    """The rows by key, read again when the file changes."""
    try:
        text = path.read_text("utf-8-sig")
        said = msgspec.json.decode(text) if path.suffix == ".json" else list(csv.DictReader(io.StringIO(text)))
    except (OSError, UnicodeDecodeError, csv.Error, msgspec.DecodeError) as error:
        raise ConfigurationError(f"the table {path} of a lookup cannot be read: {error}") from error
    if isinstance(said, dict) and not column:
        return {name: row for name, row in said.items() if isinstance(row, dict)}
    if not column or not isinstance(said, list):
        raise ConfigurationError(f"the table {path}: name in `column` what is compared with the key")
    found: dict[str, Row] = {}
    for row in said:
        if not isinstance(row, dict) or row.get(column) is None:
            raise ConfigurationError(f"the table {path} has a row without {column!r}")
        if str(row[column]) in found:
            raise ConfigurationError(f"the table {path} has two rows of one {column!r}: which of them is meant?")
        found[str(row[column])] = row
    return found


# -- upcast, validate, functions


def upcast(options: Options) -> Repair:
    """``with``: ``module:name`` of your Upcasters. ``from``: the version that the body really has. ``to``: default, and
    nothing else will do: the version that its entry says, since a consumer goes by that. ``type``: default, its own."""
    upcasters = loaded(options.text("with", "module:name of an Upcasters"))
    since, to, type_ = options.need("from", "the version the body has"), options.take("to"), options.take("type")
    if not isinstance(upcasters, Upcasters):
        raise ConfigurationError("the repair upcast: what `with` names is no Upcasters")
    if not isinstance(since, int) or not isinstance(to, int | None) or not isinstance(type_, str | None):
        raise ConfigurationError("the repair upcast: `from` and `to` are versions, numbers, and `type` is text")

    def repair(draft: Draft) -> Draft:
        if (to or draft.version) != draft.version:  # guard: nothing is brought up to date twice
            raise RepairRefused(f"the entry says version {draft.version}, and consumers go by that: a body of version "
                                f"{to} would be brought up to date once more")
        kind = type_ if type_ is not None else draft.type
        return of_value(lambda value: _asked("upcast", upcasters.upcast, kind, since, draft.version, value))(draft)

    return repair


def validate(options: Options) -> Repair:
    """``type``: ``module:Type`` that a consumer's handler takes. Changes nothing; a body that is none is refused."""
    return validating(loaded(options.text("type", "module:Type of a handler")))


def validating(wanted: Any) -> Repair:
    """The same, of a type."""
    decoder = decoder_for(wanted)

    def repair(draft: Draft) -> Draft:
        try:
            decoder.decode(draft.body, draft.content_type)
        except MessageError as error:  # its words are made of the type and hold no payload
            raise RepairRefused(f"what came out is not what its handler takes: {error}") from None
        return draft

    return repair


def yours(name: str, function: Any) -> Callable[[Options], Repair]:
    """A function of the user's: it is given the body's value and its options as keywords, and answers with another
    value. What it raises is told by its type alone, since its words may hold payload."""
    if not callable(function):
        raise ConfigurationError(f"the repair {name} is no function")

    def make(options: Options) -> Repair:
        given = options.all()
        return of_value(lambda value: _asked(name, function, value, **given))

    return make


def _asked(name: str, function: Callable[..., Any], *given: Any, **more: Any) -> Any:
    try:
        return function(*given, **more)
    except HoldfastError:
        raise
    except Exception as error:  # noqa: BLE001 - any code of the user's
        raise RepairRefused(f"the repair {name} raised {type(error).__name__}") from None  # guard: not its words
