# SPDX-License-Identifier: Apache-2.0
"""How a passphrase, or a file of random bytes, becomes a key. Of the standard library only.

What was derived, and at which cost, stands beside what it seals. Whoever can write there could ask for all the memory
of the machine: costs that nobody writes are refused.
"""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path
from typing import Final

import msgspec

from ..errors import ConfigurationError, HoldfastError

#: Bytes of a key file: 32 random ones at least, and nobody needs more than these.
KEY_FILE_MIN: Final = 32
KEY_FILE_MAX: Final = 64 << 10
#: n · r of what is opened: 1 GiB of memory.
COST_MAX: Final = 1 << 23
#: Everybody writes 8.
R_MAX: Final = 256


class Derivation(msgspec.Struct, frozen=True, tag_field="name", forbid_unknown_fields=True):
    """How a passphrase, or a key file, becomes what seals."""

    salt: bytes


class Scrypt(Derivation, frozen=True, tag="scrypt"):
    """n, r, p: its costs (RFC 7914). 128 · n · r bytes of memory."""

    n: int
    r: int
    p: int

    @property
    def payable(self) -> bool:
        """Are these costs that somebody would write, and that the algorithm can be asked for?"""
        return (self.n > 1 and self.n & (self.n - 1) == 0 and 0 < self.r <= R_MAX and self.n < 1 << 16 * self.r
                and self.n * self.r <= COST_MAX and 0 < self.p <= 16)


class Hkdf(Derivation, frozen=True, tag="hkdf-sha256"):
    """For what is random already (RFC 5869)."""


def scrypt(phrase: bytes, how: Scrypt, length: int) -> bytes:
    """RFC 7914. The costs are to be ``payable``."""
    return hashlib.scrypt(phrase, salt=how.salt, n=how.n, r=how.r, p=how.p, dklen=length,
                          maxmem=128 * how.r * (how.n + how.p) + (1 << 20))


def key_in(path: Path, refused: type[HoldfastError]) -> bytes:
    """The bytes of a key file. Raises ``refused`` when it cannot be read, ConfigurationError for one that is no key."""
    try:
        with path.open("rb") as file:
            material = file.read(KEY_FILE_MAX + 1)
    except OSError as error:
        raise refused(f"the key file {path} cannot be read: {error.strerror}") from error
    if not KEY_FILE_MIN <= len(material) <= KEY_FILE_MAX:
        raise ConfigurationError(f"the key file {path} has {len(material)} bytes, and {KEY_FILE_MIN} to {KEY_FILE_MAX} "
                                 "random ones are wanted")
    return material


def hkdf(material: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    """RFC 5869 with SHA-256. length: up to 8,160."""
    key = hmac.digest(salt or bytes(32), material, "sha256")
    block, made = b"", b""
    for count in range(1, -(-length // 32) + 1):
        block = hmac.digest(key, block + info + bytes((count,)), "sha256")
        made += block
    return made[:length]
