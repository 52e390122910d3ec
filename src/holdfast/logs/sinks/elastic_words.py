# SPDX-License-Identifier: Apache-2.0
"""Bulk requests to Elasticsearch, and what their answers say of each document. Pure.

A document is created under the record's id: a second time it is there already (409), and that is success. ``create``
is also the only verb that data streams take.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import msgspec

from ..record import Record
from ..sink import SinkDown
from .document import Encoded, place_of

_THERE: Final = 409
#: Overloaded, or away for a while; a 5xx too.
_PASSES: Final = (408, 429)


class Item(NamedTuple):
    """What became of one document."""

    status: int
    error: str
    why: str


def document(record: Record) -> dict[str, Any]:
    """The record's fields, with ``@timestamp`` and ``log`` (ECS: where the line stands) where it has none itself."""
    line = record.line
    found = {"log": {"file": {"path": place_of(record)}, "offset": line.offset}, **record.fields}
    if record.timestamp_ns is not None and "@timestamp" not in found:
        found["@timestamp"] = iso_ns(record.timestamp_ns)
    return found


def iso_ns(ns: int) -> str:
    """A time with nanoseconds, UTC. ValueError or OverflowError for one that has no four digits of year."""
    seconds, rest = divmod(ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


def bulk(index: str, documents: Sequence[Encoded]) -> bytes:
    """The body of ``POST /_bulk``."""
    parts = []
    for one in documents:
        parts += [msgspec.json.encode({"create": {"_index": index, "_id": one.record.id}}), one.body]
    return b"\n".join(parts) + b"\n"


def items(answer: bytes, count: int) -> list[Item]:
    """One item a document, in order. SinkDown for an answer that is none: whether anything is in is not known, and the
    same ids can be sent again."""
    try:
        said = msgspec.json.decode(answer)["items"]
        found = [_item(next(iter(one.values()))) for one in said]
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError, StopIteration, ValueError):
        found = []
    if len(found) != count:
        raise SinkDown("sink elastic: the answer is none to a bulk request; is this Elasticsearch?")
    return found


def _item(said: dict[str, Any]) -> Item:
    error = said.get("error") or {}
    if isinstance(error, str):
        return Item(int(said["status"]), "error", error)
    return Item(int(said["status"]), str(error.get("type", "")), str(error.get("reason", "")))


def is_in(item: Item) -> bool:
    """Is the document there, now or since an earlier time?"""
    return 200 <= item.status < 300 or item.status == _THERE  # guard: there already is success


def passes(item: Item) -> bool:
    """May the same document be taken later?"""
    return item.status in _PASSES or item.status >= 500
