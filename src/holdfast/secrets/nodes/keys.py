# SPDX-License-Identifier: Apache-2.0
"""Keys of nodes and callers, what they sign, and boxes that only one of them opens.

Traffic is sealed in boxes and not in TLS. The nodes of a circle know each other's keys already, since shares are sealed
to them; with TLS there would be a second set of keys, an authority, and certificates that expire. What is given up:
requests that somebody recorded can be opened by who later steals the node's key, and show what that node was asked and
gave, which is one share of each secret.

::

    box = ephemeral X25519 key │ AES-256-GCM      key = HKDF(shared secret; both public keys, what it is for)

Each box has a key of its own, used for it and for the answer to it, each under its own nonce.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ..._base.secret import Secret
from ...errors import ConfigurationError, MissingExtra, SecretDenied, SecretsDamaged

try:
    from . import _primitives as lib
except ImportError as error:
    raise MissingExtra("secrets", "holding shares on nodes") from error

SEED_BYTES: Final = 32
KEY_BYTES: Final = 32
#: What a box adds to what is in it.
BOX_EXTRA: Final = KEY_BYTES + 16

_THERE: Final = b"\0" * 12
_BACK: Final = b"\1" + b"\0" * 11


class Identity:
    """The private keys of a node or a caller, from one seed of 32 random bytes. Prints no key."""

    def __init__(self, seed: Secret[bytes]) -> None:
        if len(seed.reveal()) != SEED_BYTES:
            raise ConfigurationError(f"an identity's seed has {SEED_BYTES} bytes, and this one {len(seed.reveal())}")
        derived = _derive(seed.reveal(), b"identity", 64)
        self._sign = lib.Ed25519PrivateKey.from_private_bytes(derived[:32])
        self._box = lib.X25519PrivateKey.from_private_bytes(derived[32:])
        #: For ``verify``.
        self.sign_key: Final = self._sign.public_key().public_bytes_raw()
        #: For ``seal``.
        self.box_key: Final = self._box.public_key().public_bytes_raw()

    @staticmethod
    def public_of(drawn: bytes) -> bytes:
        """A box's first bytes, of the random ones that ``seal`` draws."""
        return lib.X25519PrivateKey.from_private_bytes(drawn).public_key().public_bytes_raw()

    def sign(self, what: bytes, data: bytes) -> bytes:
        """A signature of data as being ``what``."""
        return self._sign.sign(_framed(what, data))

    def open(self, box: bytes, what: bytes) -> tuple[bytes, Answering]:
        """What is in a box, and how to answer it. Raises SecretsDamaged."""
        try:
            shared = self._box.exchange(lib.X25519PublicKey.from_public_bytes(box[:KEY_BYTES]))
            key = _derive(shared, b"box" + box[:KEY_BYTES] + self.box_key + what, KEY_BYTES)
            return lib.AESGCM(key).decrypt(_THERE, box[KEY_BYTES:], what), Answering(key, what)
        except (lib.InvalidTag, ValueError):
            raise SecretsDamaged("a box was changed, or is for somebody else") from None


class Answering:
    """The way back of a box: one answer."""

    __slots__ = ("_key", "_what")

    def __init__(self, key: bytes, what: bytes) -> None:
        self._key, self._what = key, what

    def seal(self, data: bytes) -> bytes:
        """The answer, for who sealed the box."""
        return lib.AESGCM(self._key).encrypt(_BACK, data, self._what)

    def open(self, data: bytes) -> bytes:
        """The answer, by who sealed the box. Raises SecretsDamaged: nobody but who can open the box gave it else."""
        try:
            return lib.AESGCM(self._key).decrypt(_BACK, data, self._what)
        except lib.InvalidTag:
            raise SecretsDamaged("an answer was changed, or is somebody else's") from None


def seal(data: bytes, to: bytes, what: bytes, entropy: Callable[[int], bytes]) -> tuple[bytes, Answering]:
    """A box for the holder of a box key, and how its answer is opened."""
    ephemeral = lib.X25519PrivateKey.from_private_bytes(entropy(KEY_BYTES))
    mine = ephemeral.public_key().public_bytes_raw()
    shared = ephemeral.exchange(lib.X25519PublicKey.from_public_bytes(to))
    key = _derive(shared, b"box" + mine + to + what, KEY_BYTES)
    return mine + lib.AESGCM(key).encrypt(_THERE, data, what), Answering(key, what)


def verify(key: bytes, signature: bytes, what: bytes, data: bytes) -> bool:
    """Did the holder of the sign key sign the data, as being ``what``?"""
    try:
        lib.Ed25519PublicKey.from_public_bytes(key).verify(signature, _framed(what, data))
    except (lib.InvalidSignature, ValueError):
        return False
    return True


def need(signed: bool, who: str) -> None:
    """Raises SecretDenied for what its author did not sign."""
    if not signed:
        raise SecretDenied(f"this is not signed by {who}: nothing of it was used")


def encrypt(key: bytes, value: bytes, what: bytes) -> bytes:
    """A value under a data key that is used once."""
    return lib.AESGCM(key).encrypt(_THERE, value, what)


def decrypt(key: bytes, sealed: bytes, what: bytes) -> bytes | None:
    """The value; None: the key does not open it."""
    try:
        return lib.AESGCM(key).decrypt(_THERE, sealed, what)
    except lib.InvalidTag:
        return None


def _framed(what: bytes, data: bytes) -> bytes:
    return b"holdfast nodes 1 " + what + b"\0" + data


def _derive(secret: bytes, info: bytes, size: int) -> bytes:
    return lib.HKDF(lib.SHA256(), size, b"holdfast nodes 1", info).derive(secret)
