# SPDX-License-Identifier: Apache-2.0
"""A keyring on disk, encrypted under a passphrase or a key file.

::

    passphrase ─ scrypt ─┐
                         ├─▶ 32 bytes that seal (AES-256-GCM) │ 32 bytes that stand in the file
    key file ── HKDF ────┘                                       and say at once whether it is the right one

Everything in the file that is not secret is bound to what is, so nothing of it can be exchanged. The second half makes
sure that a file opens under one passphrase only: AES-GCM alone does not (partitioning oracles). Each write draws a new
salt and a new nonce, replaces the file as a whole and is on disk before the ring changes.

Not protected: an older file put back in its place opens too, and who holds the passphrase holds the keys.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from ..._base import durable
from ..._base.clock import WallMs
from ..._base.secret import Secret
from ..._base.typed import from_json
from ..._base.unlock import Hkdf, Scrypt, hkdf, key_in, scrypt
from ...errors import ConfigurationError, KeyringSealed, MissingExtra
from .key import Key
from .keyring import KEYS_MAX, Keyring

FORMAT: Final = "holdfast keyring 1"
SALT: Final = 16
NONCE: Final = 12
#: Bytes that a file may have: 64 keys take 4 kB.
FILE_MAX: Final = 64 << 10

Entropy = Callable[[int], bytes]


class _Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: str
    derivation: Scrypt | Hkdf
    commitment: bytes


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    head: _Head
    nonce: bytes
    sealed: bytes


class _Kept(msgspec.Struct, frozen=True, omit_defaults=True):
    key: str
    since_ms: WallMs | None = None


class Unlock(Protocol):
    """What opens the file."""

    def derivation(self, salt: bytes) -> Scrypt | Hkdf:
        """How a new file is sealed."""
        ...

    def derived(self, derivation: Scrypt | Hkdf) -> bytes:
        """64 bytes. Raises KeyringSealed for a file that was sealed another way."""
        ...


@dataclass(frozen=True)
class Passphrase:
    """n: of scrypt, a power of 2. Price of more: time and memory at each change; 2¹⁶ takes 64 MiB and some 0.2 s."""

    phrase: Secret[str]
    n: int = 1 << 16

    def derivation(self, salt: bytes) -> Scrypt:
        if not self.phrase.reveal():
            raise ConfigurationError("a keyring's passphrase is empty")
        return Scrypt(salt, self.n, 8, 1)

    def derived(self, derivation: Scrypt | Hkdf) -> bytes:
        if not isinstance(derivation, Scrypt):
            raise KeyringSealed("the keyring's file was sealed with a key file, and a passphrase was given")
        if not derivation.payable:  # guard: costs
            raise KeyringSealed(f"the keyring's file asks for scrypt with n={derivation.n}, r={derivation.r}, "
                                f"p={derivation.p}, which nobody writes")
        return scrypt(self.phrase.reveal().encode(), derivation, 64)


@dataclass(frozen=True)
class KeyHeld:
    """A key of at least 32 random bytes that lies in no file: k people have it in shares, and put it together."""

    key: Secret[bytes]

    def derivation(self, salt: bytes) -> Hkdf:
        return Hkdf(salt)

    def derived(self, derivation: Scrypt | Hkdf) -> bytes:
        if not isinstance(derivation, Hkdf):
            raise KeyringSealed("the keyring's file was sealed with a passphrase, and a key was given")
        return hkdf(self.key.reveal(), derivation.salt, FORMAT.encode(), 64)


@dataclass(frozen=True)
class KeyFile:
    """A file of at least 32 random bytes: `head -c 32 /dev/urandom > FILE`. Whoever reads it opens the keyring."""

    path: Path

    def derivation(self, salt: bytes) -> Hkdf:
        return Hkdf(salt)

    def derived(self, derivation: Scrypt | Hkdf) -> bytes:
        return KeyHeld(Secret(key_in(self.path, KeyringSealed))).derived(derivation)


def write_sealed(path: Path, content: bytes, unlock: Unlock, entropy: Entropy, form: str) -> None:
    """Replaces the file by this content, sealed. form: what the file says it is.

    Raises OSError; the file is then what it was.
    """
    derivation = unlock.derivation(entropy(SALT))
    derived = unlock.derived(derivation)
    head = _Head(form, derivation, derived[32:])
    nonce = entropy(NONCE)
    sealed = _primitives().AESGCM(derived[:32]).encrypt(nonce, content, msgspec.json.encode(head))
    written = msgspec.json.format(msgspec.json.encode(_File(head, nonce, sealed)), indent=2) + b"\n"
    durable.replace(path, lambda _: written)


def read_sealed(path: Path, unlock: Unlock, form: str, most: int) -> bytes:
    """What was sealed in the file. most: the bytes it may have.

    Raises KeyringSealed, which never says a key; OSError when it is not there.
    """
    with path.open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise KeyringSealed(f"{path} has more than {most} bytes and is no keyring")
    try:
        found = from_json(data, _File)
    except (msgspec.MsgspecError, ValueError) as error:  # ValueError: text that is no UTF-8
        raise KeyringSealed(f"{path} is no {form}: {error}") from None
    if found.head.format != form:  # guard: forms. A file of other keys is not taken for this one
        raise KeyringSealed(f"{path} is a {found.head.format!r}, and {form!r} is wanted")
    derived = unlock.derived(found.head.derivation)
    if not hmac.compare_digest(derived[32:], found.head.commitment):  # guard: one passphrase opens it
        raise KeyringSealed(f"{path} was sealed under another passphrase or key file")
    lib = _primitives()
    try:
        opened = lib.AESGCM(derived[:32]).decrypt(found.nonce, found.sealed, msgspec.json.encode(found.head))
    except (lib.InvalidTag, ValueError):
        raise _damaged(path) from None
    return bytes(opened)


def save(path: Path, keys: tuple[Key, ...], unlock: Unlock, entropy: Entropy) -> None:
    """Replaces the file. Raises OSError; the file is then what it was."""
    content = msgspec.json.encode([_Kept(key.text, key.since_ms) for key in keys])
    write_sealed(path, content, unlock, entropy, FORMAT)


def load(path: Path, unlock: Unlock) -> tuple[Key, ...]:
    """The keys, the primary one first. Raises KeyringSealed, which never says a key; OSError when it is not there."""
    content = read_sealed(path, unlock, FORMAT, FILE_MAX)
    try:
        kept = from_json(content, list[_Kept])
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise _damaged(path) from None
    if not 1 <= len(kept) <= KEYS_MAX:
        raise KeyringSealed(f"{path} holds {len(kept)} keys")
    return tuple(Key.from_text(one.key, one.since_ms) for one in kept)


def _damaged(path: Path) -> KeyringSealed:
    return KeyringSealed(f"{path} is damaged: take it from a backup, or install the keys anew")


def open_keyring(path: Path, unlock: Unlock, entropy: Entropy, first: Key | None = None) -> Keyring:
    """The keyring in the file, each of whose changes is in the file before it is in force.

    first: what a new file begins with; a file that is there is not changed by it. Raises KeyringSealed,
    ConfigurationError when there is neither.
    """
    try:
        keys = load(path, unlock)
    except FileNotFoundError:
        if first is None:
            raise ConfigurationError(f"there is no keyring in {path} and no key to begin one with") from None
        keys = (first,)
        save(path, keys, unlock, entropy)
    return Keyring(keys, on_change=lambda changed: save(path, changed, unlock, entropy))


def _primitives() -> Any:
    """What is used of ``cryptography``. Raises MissingExtra."""
    try:
        from . import _primitives as found
    except ImportError as error:
        raise MissingExtra("gossip", "keeping keys encrypted") from error
    return found
