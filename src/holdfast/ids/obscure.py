# SPDX-License-Identifier: Apache-2.0
"""Public numbers for ids that say nothing: a keyed permutation of all numbers of so many bits.

Ids from a counter tell how much is sold, and the next one can be guessed; a Snowflake id tells when. Whoever shows ids
to strangers shows their image instead, and turns it back at the door: nothing is stored, nothing can collide.

A Feistel network of eight rounds whose round function is keyed BLAKE2s (RFC 7693), over the next even number of bits;
what falls outside of the wanted ones is sent through again until it does not (cycle walking, Black and Rogaway 2002).
It hides order and volume. It is no access control: whoever may see one image may see it for ever.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from ..errors import ConfigurationError

ROUNDS = 8
KEY_BYTES_MIN = 16


class Obscurer:
    """A permutation of the numbers below 2^bits. key: 16 bytes or more, kept as any secret is; each has its own."""

    def __init__(self, key: bytes, bits: int = 63) -> None:
        if len(key) < KEY_BYTES_MIN or not 2 <= bits <= 64:
            raise ConfigurationError(f"obscuring needs a key of {KEY_BYTES_MIN} bytes or more, and 2 to 64 bits")
        self.bits = bits
        self._half = (bits + 1) // 2
        self._mask = (1 << self._half) - 1
        self._rounds = [hashlib.blake2s(bytes([n, bits]), key=hashlib.blake2s(key).digest(), digest_size=8)
                        for n in range(ROUNDS)]

    def obscure(self, id: int) -> int:
        """The public number for ``id``."""
        return self._walked(id, self._forth)

    def reveal(self, public: int) -> int:
        """The id of a public number. Every number is the image of one: whether that id exists is yours to look up."""
        return self._walked(public, self._back)

    def _walked(self, number: int, through: Callable[[int], int]) -> int:
        if number < 0 or number >> self.bits:
            raise ValueError(f"{number} does not fit {self.bits} bits")
        number = through(number)
        while number >> self.bits:
            number = through(number)
        return number

    def _forth(self, number: int) -> int:
        left, right = number >> self._half, number & self._mask
        for n in range(ROUNDS):
            left, right = right, left ^ self._round(n, right)
        return left << self._half | right

    def _back(self, number: int) -> int:
        left, right = number >> self._half, number & self._mask
        for n in reversed(range(ROUNDS)):
            left, right = right ^ self._round(n, left), left
        return left << self._half | right

    def _round(self, n: int, half: int) -> int:
        keyed = self._rounds[n].copy()
        keyed.update(half.to_bytes(4, "big"))
        return int.from_bytes(keyed.digest(), "big") & self._mask
