# SPDX-License-Identifier: Apache-2.0
"""Frames of one link, each with a tag that only the two ends can make.

A tag is keyed by what X25519 makes of both ends' keys and by their whole greeting, and is over a number that grows with
each frame: a frame that was changed, left out, repeated or put in ends the link. Nothing is encrypted, since what is
passed on is public. BLAKE2b with a key takes 2 µs a frame.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from typing import Final

from ...errors import BadPacket, NotTrusted

TAG: Final = 16
_HEAD: Final = struct.Struct(">I")
#: Bytes before a payload, its length and its tag.
HEAD: Final = _HEAD.size + TAG


class Channel:
    """shared: the secret of both ends. transcript: the hash of their greeting. caller: which end this is."""

    __slots__ = ("_heard", "_in", "_out", "_said")

    def __init__(self, shared: bytes, transcript: bytes, *, caller: bool) -> None:
        keys = [hashlib.blake2b(transcript, key=shared, person=who, digest_size=32).digest()
                for who in (b"hf-prop-caller", b"hf-prop-door")]
        self._out, self._in = keys if caller else reversed(keys)
        self._said = self._heard = 0

    def __repr__(self) -> str:
        return f"Channel({self._said} said, {self._heard} heard)"

    def seal(self, payload: bytes) -> bytes:
        """The frame."""
        self._said += 1
        return _HEAD.pack(len(payload)) + _tag(self._out, self._said, payload) + payload

    def open(self, tag: bytes, payload: bytes) -> bytes:
        """The payload. Raises NotTrusted: then hang up."""
        self._heard += 1
        if not hmac.compare_digest(tag, _tag(self._in, self._heard, payload)):  # guard: frame-tag
            raise NotTrusted("a frame that the other end did not send, or not now", why="tag")
        return payload


def length(head: bytes, most: int) -> int:
    """How long what follows is. Raises BadPacket."""
    found: int = _HEAD.unpack(head)[0]
    if found > most:  # guard: frame-length. Nothing is kept for what will not be read
        raise BadPacket(f"a frame of {found} bytes, and {most} is the most", why="large")
    return found


def _tag(key: bytes, number: int, payload: bytes) -> bytes:
    return hashlib.blake2b(number.to_bytes(8, "big") + payload, key=key, digest_size=TAG).digest()
