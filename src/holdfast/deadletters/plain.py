# SPDX-License-Identifier: Apache-2.0
"""The quick way back for the many letters that are plain: the server makes what goes out of what lies there.

``outgoing`` reads a letter as text, by its names, and writes it again; what nobody thought of comes out right, and each
letter crosses the wire twice. Of a hundred thousand nearly all hold nothing of the kind (see ``replay_plain.lua``).
Those need no more than their entry ids said. A test holds what goes out on both ways to one another.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import msgspec

from .._base.letter import BY_NAME
from .._base.letter_text import iso, utf8
from .._redis.scripts import load_script

if TYPE_CHECKING:
    from .._redis.errand import Arg
    from .._redis.keys import GroupKeys

PLAIN: Final = load_script("holdfast.deadletters", "replay_plain")
#: What the script answers for a letter that is not plain.
LEFT: Final = b"-"
#: What a replay says itself: a letter that has one of these was replayed before. And what takes thought: fields that
#: were set aside, a limit of the letter's own.
_NOT_PLAIN: Final = ("replayed-from", "replay-job", "replayed-by", "replay-timestamp", "redirect-to", "reprocess-count",
                     "edit-patch", "original-headers", "max-reprocess-count")


@lru_cache(16)
def _caps(prefix: str) -> bytes:
    """As the script takes them."""
    found = {prefix + name: row.max_bytes if row.travels else -1 for name, row in BY_NAME.items()}
    return msgspec.json.encode(found | {prefix + name: 0 for name in _NOT_PLAIN})


def said_of(*, by: str, at_ms: int, job: str, prefix: str) -> list[bytes] | None:
    """What goes out with each letter, beside what it has: as ``replay_fields`` says it, and in that order. None when
    something of it would have to be cut."""
    said = {"replay-job": job, "replayed-by": by, "replay-timestamp": iso(at_ms), "reprocess-count": "1"}
    if any(len(utf8(value)) > BY_NAME[name].max_bytes for name, value in said.items()):
        return None
    return [part for name, value in said.items() if value for part in (utf8(prefix + name), utf8(value))]


def names_of(keys: GroupKeys) -> tuple[bytes, ...]:
    """Keys of the script."""
    return keys.dead, keys.letters, keys.replay, keys.door, keys.done


def call_of(group: str, prefix: str, said: Sequence[bytes], entry_ids: Sequence[str], *, kept_ms: int, in_order: bool
            ) -> list[Arg]:
    """Arguments of the script. in_order: what follows the first letter that is not plain is left as well."""
    return [group, prefix, kept_ms, int(in_order), _caps(prefix), len(said), *said, *entry_ids]
