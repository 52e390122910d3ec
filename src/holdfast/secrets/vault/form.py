# SPDX-License-Identifier: Apache-2.0
"""The bytes of a vault's file.

::

    hfvault1 │ length │ header │ SHA-256 │ HMAC under the root key        who opens it, and what the file follows on
    lengths, CRC │ nonce │ sealed entry │ sealed value                     record 1
    lengths, CRC │ nonce │ sealed entry │ sealed value                     record 2 …
       │
       └─ links: SHA-256(link before │ lengths │ nonce │ sealed entry │ SHA-256(sealed value))

An entry is sealed with the link before it, so a record opens in one place of one file only, after everything that came
before and the header. A bit that was flipped anywhere breaks a tag, the header's digest or, at the end, the pin.

The digest has no key: it tells a damaged header from a wrong passphrase. The HMAC is what nobody can forge.

Lengths tell something, so entries and values are filled up to buckets, eight to a doubling: above the least size an
eighth more at most. What a stolen file still tells: how many records there are, which of them hold a value, and the
bucket of its size.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
import zlib
from typing import Final

import msgspec

from ..._base.typed import from_msgpack
from ..._base.unlock import Hkdf, Scrypt

MAGIC: Final = b"hfvault1"
#: Bytes of a header, and of a sealed entry: nothing larger is written.
HEADER_MAX: Final = 1 << 16
ENTRY_MAX: Final = 1 << 20
BLOB_MAX: Final = (1 << 20) + (1 << 18)
NONCE: Final = 12
#: Ways to open a vault. Each that is tried may cost what scrypt costs.
SLOTS_MAX: Final = 16
LENGTHS: Final = 12
#: Every entry that is shorter looks alike: all names of up to some 120 bytes.
ENTRY_LEAST: Final = 256
#: Every value that is shorter looks alike.
VALUE_LEAST: Final = 64

_LENGTH: Final = struct.Struct(">I")
_LENGTHS: Final = struct.Struct(">II")


class Unfit(ValueError):
    """These bytes are no part of a vault."""


class Slot(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One way to the root key. id: to take it away by; kind: of what opens it; made: ms since 1970."""

    id: str
    kind: str
    made: int
    how: Scrypt | Hkdf
    commitment: bytes
    nonce: bytes
    sealed: bytes


class Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a vault stands. generation: grows with each commit; link: of the last record."""

    generation: int
    link: bytes

    def same(self, other: Head) -> bool:
        """The same place of the same chain?"""
        return self.generation == other.generation and hmac.compare_digest(self.link, other.link)


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of one file; a new one is written as a whole.

    store: the vault's id. base: the generation before the first record. follows: the head of the file before this one.
    least: records that the file was born with. epoch: counts the keys that wrap data keys, epoch_salt: of these,
    file_salt: of the key that seals entries, drawn anew for each file.
    """

    store: bytes
    base: int
    follows: Head
    least: int
    epoch: int
    epoch_salt: bytes
    file_salt: bytes
    slots: tuple[Slot, ...]


class Record(msgspec.Struct, frozen=True):
    """offset: of the sealed value in the file; end: of the record; digest: of the sealed value."""

    nonce: bytes
    sealed: bytes
    offset: int
    size: int
    end: int
    digest: bytes
    lengths: bytes


def write_header(header: Header, key: bytes) -> bytes:
    """key: what nobody without the root key has."""
    body = msgspec.msgpack.encode(header)
    head = MAGIC + _LENGTH.pack(len(body)) + body
    head += hashlib.sha256(head).digest()
    return head + hmac.digest(key, head, "sha256")


def read_header(data: bytes) -> tuple[Header, bytes]:
    """The header, and its bytes; nobody has yet seen whether it is genuine. Raises Unfit."""
    if data[:8] != MAGIC:
        raise Unfit("it is no vault, or its first bytes were changed")
    size = _LENGTH.unpack_from(data, 8)[0] if len(data) >= 12 else HEADER_MAX + 1
    end = 12 + size
    if size > HEADER_MAX or len(data) < end + 64:
        raise Unfit("its header was cut or changed")
    if not hmac.compare_digest(hashlib.sha256(data[:end]).digest(), data[end:end + 32]):
        raise Unfit("its header was changed")
    try:
        header = from_msgpack(data[12:end], Header)
    except (msgspec.MsgspecError, ValueError):
        raise Unfit("its header is not of this format") from None
    if len(header.slots) > SLOTS_MAX:  # guard: seals that nobody wrote are not paid for
        raise Unfit("its header has more seals than a vault can have")
    return header, data[:end + 64]


def genuine(raw: bytes, key: bytes) -> bool:
    """Was this header written by somebody who has the root key?"""
    return hmac.compare_digest(hmac.digest(key, raw[:-32], "sha256"), raw[-32:])


def first_link(raw: bytes) -> bytes:
    """What the first record follows on: the header, with everything that it says."""
    return hashlib.sha256(b"holdfast vault 1 start" + raw).digest()


def next_link(link: bytes, record: Record) -> bytes:
    """What the record after this one follows on."""
    return hashlib.sha256(link + record.lengths + record.nonce + record.sealed + record.digest).digest()


def lengths(entry: int, blob: int) -> bytes:
    """What a record begins with: how long its sealed entry is, and its sealed value, with a check of their own. A
    changed length is then told from a record that was never finished."""
    both = _LENGTHS.pack(entry, blob)
    return both + _LENGTH.pack(zlib.crc32(both))


def write_record(nonce: bytes, sealed: bytes, blob: bytes) -> bytes:
    """A record as it stands in the file."""
    return lengths(len(sealed), len(blob)) + nonce + sealed + blob


def read_record(data: memoryview, at: int, origin: int) -> Record | None:
    """The record that begins at ``at``; None: it was never finished. origin: where in the file ``data`` begins.

    Raises Unfit: its lengths were changed.
    """
    begins = at + LENGTHS + NONCE
    if len(data) < at + LENGTHS or not (any(data[at:at + LENGTHS]) or any(data[at:])):
        return None
    entry, blob = _LENGTHS.unpack_from(data, at)
    said = bytes(data[at:at + LENGTHS])
    if said != lengths(entry, blob) or entry > ENTRY_MAX or blob > BLOB_MAX:  # not secret: lengths
        raise Unfit("a record's length was changed")
    ends = begins + entry + blob
    if len(data) < ends:
        return None
    return Record(nonce=bytes(data[begins - NONCE:begins]), sealed=bytes(data[begins:begins + entry]),
                  offset=origin + begins + entry, size=blob, end=origin + ends,
                  digest=hashlib.sha256(data[begins + entry:ends]).digest(), lengths=said)


def whole_record(raw: bytes, offset: int) -> Record:
    """What ``write_record`` made, as it stands at ``offset``."""
    record = read_record(memoryview(raw), 0, offset)
    if record is None:
        raise Unfit("the record is not whole")
    return record


def bucket(size: int, least: int) -> int:
    """How long what has ``size`` bytes is made."""
    if size <= least:
        return least
    low = size.bit_length() - 4
    return (size + (1 << low) - 1) >> low << low


def fill(content: bytes, least: int) -> bytes:
    """The content with its length before it, filled up to its bucket."""
    size = len(content) + 4
    return _LENGTH.pack(len(content)) + content + bytes(bucket(size, least) - size)


def unfill(filled: bytes) -> bytes:
    """The content. Raises Unfit."""
    size = _LENGTH.unpack_from(filled)[0] if len(filled) >= 4 else -1
    if not 0 <= size <= len(filled) - 4:
        raise Unfit("what was sealed is not of this format")
    return filled[4:4 + size]
