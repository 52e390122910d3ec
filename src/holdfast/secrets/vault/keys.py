# SPDX-License-Identifier: Apache-2.0
"""The keys of a vault, and what each of them is bound to.

::

    passphrase, key file, … ──▶ 32 bytes that seal ─▶ root key ─┬─ HKDF(store) ─────────▶ the header's HMAC
                            └─▶ 32 bytes that say               ├─ HKDF(file's salt) ───▶ seals entries
                                which one it is                 └─ HKDF(epoch's salt) ──▶ wraps a data key per version
                                                                                            └─▶ seals one value

AES-256-GCM throughout. It does not commit to its key (partitioning oracles: Len, Grubbs, Ristenpart 2021), so each way
to the root key says first, by the second half of what is derived, whether it is the right one, and the header's HMAC
commits to the root key.

Nonces are random: a file that was cut and written on must not use one twice. A file's key, drawn anew at each
compaction, seals a few thousand entries; 2³² would be too many.
"""

from __future__ import annotations

import hmac
from typing import Any, Final

from ..._base.unlock import Hkdf, Scrypt, hkdf
from ...errors import MissingExtra
from .form import NONCE, VALUE_LEAST, Header, Slot, Unfit, fill, unfill

KEY: Final = 32
_FORM: Final = b"holdfast vault 1 "


def header_key(root: bytes, store: bytes) -> bytes:
    """What makes a header genuine."""
    return hkdf(root, store, _FORM + b"header", KEY)


class Keys:
    """Of one file: seals and opens. root: 32 bytes, not kept."""

    __slots__ = ("_epoch", "_records", "_store", "_wraps")

    def __init__(self, root: bytes, header: Header) -> None:
        aes = primitives().AESGCM
        self._store, self._epoch = header.store, header.epoch
        self._records = aes(hkdf(root, header.file_salt, _FORM + b"entries" + header.store, KEY))
        self._wraps = aes(hkdf(root, header.epoch_salt, _FORM + b"epoch" + _number(header.epoch) + header.store, KEY))

    def seal_entry(self, nonce: bytes, content: bytes, number: int, link: bytes, covered: bytes) -> bytes:
        """covered: the record's lengths and the digest of its sealed value."""
        return bytes(self._records.encrypt(nonce, content, self._place(number, link, covered)))

    def open_entry(self, nonce: bytes, sealed: bytes, number: int, link: bytes, covered: bytes) -> bytes:
        """Raises Unfit: it was changed, or is not of this place."""
        return _opened(self._records, nonce, sealed, self._place(number, link, covered))

    def wrap(self, key: bytes, name: str, version: int, nonce: bytes) -> bytes:
        """A data key, for one version of one secret."""
        return nonce + bytes(self._wraps.encrypt(nonce, key, self._whose(b"key", self._epoch, name, version)))

    def unwrap(self, wrapped: bytes, name: str, version: int) -> bytes:
        """Raises Unfit."""
        return _opened(self._wraps, wrapped[:NONCE], wrapped[NONCE:], self._whose(b"key", self._epoch, name, version))

    def seal_value(self, key: bytes, value: bytes, name: str, version: int, nonce: bytes) -> bytes:
        """The value under its data key, which seals nothing else."""
        whose = self._whose(b"value", self._epoch, name, version)
        return nonce + bytes(primitives().AESGCM(key).encrypt(nonce, fill(value, VALUE_LEAST), whose))

    def open_value(self, key: bytes, blob: bytes, name: str, version: int, epoch: int) -> bytes:
        """epoch: in which it was sealed. Raises Unfit."""
        whose = self._whose(b"value", epoch, name, version)
        return unfill(_opened(primitives().AESGCM(key), blob[:NONCE], blob[NONCE:], whose))

    def _place(self, number: int, link: bytes, covered: bytes) -> bytes:
        return b"".join((_FORM, b"entry", self._store, _number(self._epoch), _number(number), link,  # guard: place
                         covered))

    def _whose(self, what: bytes, epoch: int, name: str, version: int) -> bytes:
        return b"".join((_FORM, what, self._store, _number(epoch), _number(version), name.encode()))  # guard: whose


def seal_slot(slot: Slot, derived: bytes, root: bytes, store: bytes) -> Slot:
    """The slot with the root key in it. derived: 64 bytes."""
    sealed = primitives().AESGCM(derived[:KEY]).encrypt(slot.nonce, root, _slot(slot, store))
    return Slot(slot.id, slot.kind, slot.made, slot.how, derived[KEY:], slot.nonce, bytes(sealed))


def open_slot(slot: Slot, derived: bytes, store: bytes) -> bytes | None:
    """The root key; None: something else opens this slot. Raises Unfit."""
    if not hmac.compare_digest(derived[KEY:], slot.commitment):  # guard: one key opens it
        return None
    return _opened(primitives().AESGCM(derived[:KEY]), slot.nonce, slot.sealed, _slot(slot, store))


def _slot(slot: Slot, store: bytes) -> bytes:
    how: Scrypt | Hkdf = slot.how
    costs = b"%d %d %d" % (how.n, how.r, how.p) if isinstance(how, Scrypt) else b"-"
    return b"\0".join((_FORM + b"slot", store, slot.id.encode(), slot.kind.encode(), costs, how.salt))


def _number(number: int) -> bytes:
    return number.to_bytes(8, "big")


def _opened(key: Any, nonce: bytes, sealed: bytes, bound: bytes) -> bytes:
    lib = primitives()
    try:
        return bytes(key.decrypt(nonce, sealed, bound))
    except (lib.InvalidTag, ValueError):
        raise Unfit("what was sealed was changed, or is not of this place") from None


def primitives() -> Any:
    """What is used of ``cryptography``. Raises MissingExtra."""
    try:
        from . import _primitives as found
    except ImportError as error:
        raise MissingExtra("secrets", "keeping secrets in a vault") from error
    return found
