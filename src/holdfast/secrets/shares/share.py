# SPDX-License-Identifier: Apache-2.0
"""A share, as bytes and as text that people can type.

::

    version │ set │ epoch │ k │ index │ salt │ data │ CRC-32
       1       8      4     1      1     16    1 …       4       bytes

The text is that in Crockford's base 32, in groups of five: no I, L, O or U, capitals or not. What looks alike is taken
for what was meant, and of what else was mistyped every single sign, every two that were exchanged and anything within
32 bits in a row is found for certain, the rest but for one in four thousand million: what CRC-32 is made for. It finds
accidents; what was changed on purpose is found by ``commitments``.
"""

from __future__ import annotations

import re
import zlib
from typing import Final

import msgspec

from ..._base.secret import Secret
from ...errors import ConfigurationError

VERSION: Final = 1
SET_BYTES: Final = 8
SALT_BYTES: Final = 16
#: What a share's text begins with.
BEGIN: Final = "hfs1"

_HEAD: Final = 1 + SET_BYTES + 4 + 1 + 1 + SALT_BYTES
_SIGNS: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_ALIKE: Final = str.maketrans("OIL", "011")
_GROUP: Final = 5
#: Characters of a text; longer ones are no shares.
_TEXT_MAX: Final = 4_096


class Share(msgspec.Struct, frozen=True):
    """One of a set's shares. set_id: which secret was split. epoch: grows with each re-share, old ones do not fit.
    threshold: how many are needed. index: which one it is, from 1. salt: opens its commitment."""

    set_id: bytes
    epoch: int
    threshold: int
    index: int
    salt: bytes
    data: Secret[bytes]

    def to_bytes(self) -> Secret[bytes]:
        """As bytes."""
        bare = (bytes([VERSION]) + self.set_id + self.epoch.to_bytes(4, "big") + bytes([self.threshold, self.index])
                + self.salt + self.data.reveal())
        return Secret(bare + zlib.crc32(bare).to_bytes(4, "big"))

    @classmethod
    def from_bytes(cls, raw: bytes) -> Share:
        """From bytes. Raises ConfigurationError for what is no share, or was damaged."""
        if len(raw) < _HEAD + 5:
            raise ConfigurationError("this is no whole share: a part of it is missing")
        bare, checksum = raw[:-4], int.from_bytes(raw[-4:], "big")
        if zlib.crc32(bare) != checksum:  # guard: mistyped
            raise ConfigurationError("this share was mistyped or damaged: its checksum does not fit; compare it with "
                                     "the paper, group by group")
        if bare[0] != VERSION:
            raise ConfigurationError(f"this share is of format {bare[0]}, and {VERSION} is known: use a newer Holdfast")
        at = 1 + SET_BYTES
        share = cls(bare[1:at], int.from_bytes(bare[at:at + 4], "big"), bare[at + 4], bare[at + 5],
                    bare[at + 6:_HEAD], Secret(bare[_HEAD:]))
        if not share.threshold or not share.index:
            raise ConfigurationError("this share is of no set: its number and its k are at least 1")
        return share

    def to_text(self) -> Secret[str]:
        """As text to be typed, in groups. Raises ConfigurationError for a share that ``from_text`` would not take."""
        raw = self.to_bytes().reveal()
        length = -(-len(raw) * 8 // 5)
        if len(BEGIN) + length + -(-length // _GROUP) > _TEXT_MAX:  # guard: what is given out can be read back
            raise ConfigurationError(f"a share of {len(self.data.reveal()):,} bytes is too long to be typed: encrypt "
                                     "what is large with a key of 32 bytes, and split the key")
        number = int.from_bytes(raw, "big") << length * 5 - len(raw) * 8
        signs = "".join(_SIGNS[number >> 5 * n & 31] for n in reversed(range(length)))
        return Secret("-".join([BEGIN, *(signs[n:n + _GROUP] for n in range(0, length, _GROUP))]))

    @classmethod
    def from_text(cls, text: str) -> Share:
        """From text, however it is spaced. Raises ConfigurationError, which says nothing of it."""
        if len(text) > _TEXT_MAX:
            raise ConfigurationError("this text is too long for a share")
        bare = re.sub(r"[\s\-]+", "", text).upper()
        if not bare.startswith(BEGIN.upper()):
            raise ConfigurationError(f"a share's text begins with {BEGIN}")
        signs = bare[len(BEGIN):].translate(_ALIKE)
        for place, sign in enumerate(signs):
            if sign not in _SIGNS:
                raise ConfigurationError(f"there is a sign that shares do not have in group {place // _GROUP + 1}")
        number, size = 0, len(signs) * 5 // 8
        for sign in signs:
            number = number << 5 | _SIGNS.index(sign)
        spare = len(signs) * 5 - size * 8
        if spare >= 5 or number & (1 << spare) - 1:
            raise ConfigurationError("this share was mistyped: its end is not one")
        return cls.from_bytes((number >> spare).to_bytes(size, "big"))
