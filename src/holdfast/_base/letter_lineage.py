# SPDX-License-Identifier: Apache-2.0
"""Taking messages into letters and out again, byte for byte, over any number of deaths and replays.

::

    entry     [ the message's fields ]                                   written by anybody
    letter    [ metadata ] [ the message's fields ]                      ``letter_build.build``
    replayed  [ the message's fields ] [ lineage ]                       ``replay_fields``
    letter    [ metadata, merged with lineage ] [ the message's fields ] ``build`` with ``lineage=True``

Names tell metadata from message: the former begin with the prefix, the latter do not. A message may hold such names
all the same. These are set aside in ``original-headers`` with their positions, and ``split`` puts them back where they
stood. In a replayed entry the lineage is the tail that begins at the last ``spec-version``; whatever stands before it
is the message.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec

from .letter import BY_NAME, DEFAULT_PREFIX, SPEC_VERSION
from .letter_text import cut, iso, ms_of, number, pairs, readable, utf8
from .message import F_BODY
from .ulid import format_ulid

MAX_DEATHS: Final = 16
Nested = list[tuple[int, bytes, bytes]]
#: What is said of one death alone.
_STAYS: Final = frozenset(name for name, field in BY_NAME.items() if not field.travels)


def split(letter_fields: Sequence[bytes], prefix: str = DEFAULT_PREFIX) -> tuple[dict[str, str], list[bytes]]:
    """A letter as (metadata by name without prefix, the message's fields byte for byte). Never raises."""
    metadata, kept = _parted(letter_fields, prefix)
    return metadata, _put_back(kept, _nested(metadata.get("original-headers", "")))


def lineage_of(fields: Sequence[bytes], prefix: str = DEFAULT_PREFIX) -> tuple[dict[str, str], list[bytes]]:
    """A replayed entry as (lineage by name without prefix, the message's fields byte for byte).

    Only for entries of a replay stream. Identity and body of a message are those of its own fields, without lineage.
    """
    flat = list(fields)
    mark = utf8(prefix + "spec-version")
    start = max((i for i in range(0, len(flat), 2) if flat[i] == mark), default=len(flat))
    lineage, kept = _parted(flat[start:], prefix)
    return lineage, flat[:start] + kept


def set_aside(fields: Sequence[bytes], prefix: str) -> tuple[list[bytes], Nested]:
    """Fields without those whose names begin with the prefix, and those, with their positions."""
    head = utf8(prefix)
    kept: list[bytes] = []
    aside: Nested = []
    for at, (name, value) in enumerate(pairs(fields)):
        if name.startswith(head):
            aside.append((at, name, value))
        else:
            kept += (name, value)
    return kept, aside


def nested_json(aside: Nested) -> str:
    """``original-headers``: what was set aside, as JSON."""
    return msgspec.json.encode([[at, _packed(name), _packed(value)] for at, name, value in aside]).decode()


def replay_fields(letter_fields: Sequence[bytes], *, by: str, at_ms: int, job: str = "",
                  edited_body: bytes | None = None, edit_patch: Any = None, redirect_to: str = "",
                  prefix: str = DEFAULT_PREFIX) -> list[bytes]:
    """The entry that sends a letter's message back: its fields, then its lineage with one more replay counted.

    ``edited_body`` replaces the ``body`` field; ``edit_patch`` (JSON Patch, or any JSON value) is kept with the
    SHA-256 of the body before and after. Fields that this version does not know travel along.
    """
    metadata, message = split(letter_fields, prefix)
    return resent(metadata, message, by=by, at_ms=at_ms, job=job, edited_body=edited_body, edit_patch=edit_patch,
                  redirect_to=redirect_to, prefix=prefix)


def resent(metadata: Mapping[str, str], message: list[bytes], *, by: str, at_ms: int, job: str = "",
           edited_body: bytes | None = None, edit_patch: Any = None, redirect_to: str = "",
           prefix: str = DEFAULT_PREFIX) -> list[bytes]:
    """As ``replay_fields``, of a letter that is split already."""
    lineage = {n: v for n, v in metadata.items() if n not in _STAYS}
    lineage |= {"spec-version": str(SPEC_VERSION), "replayed-from": metadata.get("letter-id", ""), "replay-job": job,
                "replayed-by": by, "replay-timestamp": iso(at_ms), "redirect-to": redirect_to,
                "reprocess-count": str(number(metadata.get("reprocess-count")) + 1)}
    if edited_body is not None:
        before, message = body_sha256(message), _with_body(message, edited_body)
        lineage["edit-patch"] = _edit(edit_patch, before, body_sha256(message))
    front = ["spec-version", *(name for name in lineage if name != "spec-version")]
    whole, written = list(message), _written(prefix)
    for name in front:
        if value := lineage[name]:
            raw, (own, cap) = utf8(value), written.get(name) or (utf8(prefix + name), 4096)
            whole += (own, raw if len(raw) <= cap else utf8(cut(value, cap)))
    return whole


def body_sha256(fields: Sequence[bytes]) -> str:
    """SHA-256 of the ``body`` field; of a message without one, of its fields, each after its length and a colon."""
    for name, value in pairs(fields):
        if name == F_BODY:
            return hashlib.sha256(value).hexdigest()
    digest = hashlib.sha256()
    for part in fields:
        digest.update(b"%d:" % len(part))
        digest.update(part)
    return digest.hexdigest()


def letter_id(parts: Sequence[str], at_ms: int) -> str:
    """26 characters that sort by ``at_ms``; the rest is a hash of ``parts``, each after its length."""
    digest = hashlib.sha256()
    for part in map(utf8, parts):
        digest.update(b"%d:" % len(part))
        digest.update(part)
    return format_ulid((min(max(at_ms, 0), (1 << 48) - 1) << 80) | int.from_bytes(digest.digest()[:10], "big"))


def with_death(deaths_json: str, *, group: str, reason: str, fingerprint: str, at_ms: int) -> str:
    """``deaths`` with one more: newest first, equal ones counted. Past 16 rows the older ones become one, except the
    first death of all, which stays."""
    now = iso(at_ms)
    mine: dict[str, Any] = {"group": cut(group, 128), "reason": reason, "fingerprint": fingerprint, "count": 1,
                            "first": now, "last": now}
    others = []
    for row in death_rows(deaths_json):
        if all(row[k] == mine[k] for k in ("group", "reason", "fingerprint")):
            mine |= {"count": row["count"] + 1, "first": row["first"]}
        else:
            others.append(row)
    rows = [mine, *others]
    if len(rows) > MAX_DEATHS:
        first = min(rows[1:], key=lambda row: str(row["first"]))
        middle = [row for row in rows[MAX_DEATHS - 2:] if row is not first]
        rows = [*(row for row in rows[:MAX_DEATHS - 2] if row is not first), _summed(middle), first]
    return msgspec.json.encode(rows).decode()


def _summed(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"group": "*", "reason": "*", "fingerprint": "*", "count": sum(row["count"] for row in rows),
            "first": min(row["first"] for row in rows), "last": max(row["last"] for row in rows)}


def death_rows(deaths_json: str) -> Iterator[dict[str, Any]]:
    """Rows that hold what rows must; what a broken or later writer left otherwise is not ours to merge."""
    for row in json_list(deaths_json)[:4 * MAX_DEATHS]:
        if isinstance(row, dict) and isinstance(row.get("count"), int) and not isinstance(row["count"], bool) and all(
                isinstance(row.get(k), str) for k in ("group", "reason", "fingerprint", "first", "last")) and (
                ms_of(row["first"]) is not None and ms_of(row["last"]) is not None):
            yield row


def json_list(text: str) -> list[Any]:
    """The list that ``text`` holds as JSON; empty when it holds anything else."""
    try:
        found = msgspec.json.decode(text) if text else []
    except (msgspec.DecodeError, ValueError, RecursionError):
        return []
    return found if isinstance(found, list) else []


@lru_cache(16)
def _known(prefix: str) -> dict[bytes, str]:
    """Names of the specification as they lie in letters."""
    return {utf8(prefix + name): name for name in BY_NAME}


@lru_cache(16)
def _written(prefix: str) -> dict[str, tuple[bytes, int]]:
    """By name: as it lies in letters, and how many bytes its value may have."""
    return {name: (utf8(prefix + name), field.max_bytes) for name, field in BY_NAME.items()}


def _parted(fields: Sequence[bytes], prefix: str) -> tuple[dict[str, str], list[bytes]]:
    head, known = utf8(prefix), _known(prefix)
    metadata: dict[str, str] = {}
    kept: list[bytes] = []
    for name, value in pairs(fields):
        own = known.get(name)  # most are: this is what reading a hundred thousand letters costs
        if own is None:
            if not name.startswith(head):
                kept += (name, value)
                continue
            own = readable(name[len(head):])
        if own not in metadata:
            metadata[own] = readable(value)
    return metadata, kept


def _put_back(kept: list[bytes], aside: Nested) -> list[bytes]:
    if not aside:
        return kept
    whole: list[bytes] = []
    rest = iter(pairs(kept))
    for at, name, value in aside:
        for _ in range(at - len(whole) // 2):
            whole += next(rest, ())
        whole += (name, value)
    for pair in rest:
        whole += pair
    return whole


def _nested(text: str) -> Nested:
    rows = ((row[0], _unpacked(row[1]), _unpacked(row[2])) for row in json_list(text)
            if isinstance(row, list) and len(row) == 3 and isinstance(row[0], int))
    return [(at, name, value) for at, name, value in rows if name is not None and value is not None]


def _packed(raw: bytes) -> Any:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(raw).decode()}


def _unpacked(value: Any) -> bytes | None:
    if isinstance(value, str):
        return utf8(value)
    try:
        return base64.b64decode(value["b64"], validate=True)
    except (TypeError, KeyError, binascii.Error, ValueError):
        return None


def _with_body(fields: list[bytes], body: bytes) -> list[bytes]:
    """The first ``body`` field counts for readers, so that one is replaced; without one, it is added."""
    for i in range(0, len(fields), 2):
        if fields[i] == F_BODY:
            return [*fields[:i + 1], body, *fields[i + 2:]]
    return [*fields, F_BODY, body]


def _edit(patch: Any, before: str, after: str) -> str:
    """``edit-patch``; a patch too large for its cap is left out and said to be, the hashes always stay."""
    hashes = {"before": before, "after": after}
    told = msgspec.json.encode({"patch": patch, **hashes})
    if len(told) > BY_NAME["edit-patch"].max_bytes:
        told = msgspec.json.encode({"patch": None, "patch_bytes": len(told), **hashes})
    return told.decode()
