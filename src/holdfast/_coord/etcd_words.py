# SPDX-License-Identifier: Apache-2.0
"""Requests to etcd's JSON gateway and its answers, as plain values.

The gateway is gRPC written as JSON (https://etcd.io/docs/v3.4/dev-guide/api_grpc_gateway): bytes travel as base64,
64-bit numbers as strings, and what is zero or empty is left out. All of that ends in this file.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Any

import msgspec

#: A request or an answer, as JSON has it.
Words = dict[str, Any]


class KeyValue(msgspec.Struct, frozen=True, kw_only=True):
    """A key as etcd has it. ``create_revision``: of the write that made it, so a token that only grows;
    ``mod_revision``: of the last write; ``lease``: with which it goes, 0 for none."""

    key: bytes
    value: bytes
    create_revision: int
    mod_revision: int
    lease: int


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a conditional write. ``current``: what was there instead, when it was not ``done``; ``revision``:
    of the write, or of the look at what was there."""

    done: bool
    revision: int
    current: KeyValue | None = None


def text(raw: bytes) -> str:
    """Bytes, as the gateway takes them."""
    return b64encode(raw).decode()


def put(key: bytes, value: bytes, lease: int = 0) -> Words:
    """Body of a put; as a step of a transaction it goes into ``step``."""
    return {"key": text(key), "value": text(value), "lease": str(lease)}


def one(key: bytes) -> Words:
    """Body of a range or a delete of one key."""
    return {"key": text(key)}


def under(prefix: bytes) -> Words:
    """Body of a range of all keys that begin so, oldest first."""
    return {**one(prefix), "range_end": text(_after(prefix)), "sort_order": "ASCEND", "sort_target": "CREATE"}


def _after(prefix: bytes) -> bytes:
    """The first key behind all that begin with ``prefix``; a zero byte means the end of the store."""
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes((kept[-1] + 1,)) if kept else b"\0"


def step(kind: str, body: Words) -> Words:
    """One step of a transaction. kind: put, range or delete_range."""
    return {f"request_{kind}": body}


def absent(key: bytes) -> Words:
    """Condition: there is no such key."""
    return {**one(key), "target": "CREATE", "result": "EQUAL", "create_revision": "0"}


def unchanged(key: bytes, mod_revision: int) -> Words:
    """Condition: the key was last written then; 0: there is no such key."""
    return {**one(key), "target": "MOD", "result": "EQUAL", "mod_revision": str(mod_revision)}


def is_ours(key: bytes, value: bytes, lease: int) -> list[Words]:
    """Conditions: the key has this value and goes with this lease."""
    same = {**one(key), "result": "EQUAL"}
    return [{**same, "target": "VALUE", "value": text(value)}, {**same, "target": "LEASE", "lease": str(lease)}]


def txn(conditions: Sequence[Words], then: Sequence[Words], otherwise: Sequence[Words] = ()) -> Words:
    """Body of a transaction."""
    return {"compare": list(conditions), "success": list(then), "failure": list(otherwise)}


def deleted_since(key: bytes, revision: int) -> Words:
    """Body of a watch of one key's deletions from a revision on."""
    return {"create_request": {**one(key), "start_revision": str(revision), "filters": ["NOPUT"]}}


def key_values(answer: Words) -> list[KeyValue]:
    """The keys in a range's answer."""
    return [_key_value(found) for found in answer.get("kvs", ())]


def _key_value(found: Words) -> KeyValue:
    return KeyValue(key=b64decode(found["key"]), value=b64decode(found.get("value", "")),
                    create_revision=int(found.get("create_revision", 0)),
                    mod_revision=int(found.get("mod_revision", 0)), lease=int(found.get("lease", 0)))


def revision_of(answer: Words) -> int:
    """The store's revision when it answered."""
    return int(answer["header"]["revision"])


def written(answer: Words) -> Written:
    """What became of a transaction whose first step otherwise is a range."""
    if answer.get("succeeded"):
        return Written(done=True, revision=revision_of(answer))
    found = [each for step in answer.get("responses", ()) for each in key_values(step.get("response_range", {}))]
    return Written(done=False, revision=revision_of(answer), current=found[0] if found else None)
