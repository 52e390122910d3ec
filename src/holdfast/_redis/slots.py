# SPDX-License-Identifier: Apache-2.0
"""Cluster slots and hash tags: which slot a key lies in, and how to make another key lie beside it.

The server hashes what stands between the first ``{`` and the next ``}`` if that is not empty, else the whole key. Our
keys are ``prefix:{T}:…`` and T must put them in the user's slot. Mostly T is the user's own effective tag. Where that
text itself holds a ``}`` (``a}b``, ``x{}y``) it would end our tag early, so a short tag of the same slot is computed
instead.
"""

from __future__ import annotations

from binascii import crc_hqx
from functools import cache, lru_cache

SLOTS = 16384


def effective_tag(key: bytes) -> bytes:
    """The part of ``key`` that the server hashes."""
    start = key.find(b"{")
    if start >= 0:
        end = key.find(b"}", start + 1)
        if end > start + 1:
            return key[start + 1 : end]
    return key


def slot_of(key: bytes) -> int:
    """Cluster slot of ``key``: CRC16 (XMODEM) of the effective tag, mod 16384."""
    return crc_hqx(effective_tag(key), 0) % SLOTS


@cache
def _tags_by_slot() -> dict[int, bytes]:
    """A shortest decimal text for every slot. About 60,000 checksums, once, and only when an odd name turns up."""
    found: dict[int, bytes] = {}
    n = 0
    while len(found) < SLOTS:
        text = b"%d" % n
        found.setdefault(crc_hqx(text, 0) % SLOTS, text)
        n += 1
    return found


def tag_of_slot(slot: int) -> bytes:
    """A tag T such that ``{T}`` lies in ``slot``: always the same one."""
    return _tags_by_slot()[slot]


@lru_cache(4096)
def tag_beside(key: bytes) -> bytes:
    """A tag T such that ``{T}`` lies in the slot of ``key``."""
    tag = effective_tag(key)
    if tag and b"}" not in tag:
        return tag
    return _tags_by_slot()[slot_of(key)]
