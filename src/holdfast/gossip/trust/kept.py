# SPDX-License-Identifier: Apache-2.0
"""What a member keeps on disk: who it is, which epochs it holds, who was revoked, which invitations were used.

Each file is sealed as a keyring is, under a passphrase or a key file, is its owner's alone (0600), is replaced as a
whole and is on disk before anybody is told. What it is stands in its head and is bound to the rest, so that one is not
taken for another. An older file put back in its place opens too: a member with an old state is one who slept, and asks;
a used invitation that is forgotten so works once more. That is why a backup of it is not to be put back.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ...errors import BadPacket, ConfigurationError, KeyringSealed
from ..keys.sealed import Unlock, read_sealed, write_sealed
from .admission import Credential
from .identity import KEY, Entropy, Identity
from .invites import OPEN_MAX, Redeemed
from .records import RECORD_MAX, Record, decode, encode

IDENTITY: Final = "holdfast identity 1"
STATE: Final = "holdfast trust state 1"
INVITATIONS: Final = "holdfast invitations 1"
#: Bytes a file may have. Sealed bytes take 4/3 of their size.
IDENTITY_MAX: Final = 64 << 10
STATE_MAX: Final = 96 << 20


class _Identity(Record, frozen=True, tag="kept identity"):
    keys: bytes
    credential: Credential | None


class _Invitations(Record, frozen=True, tag="kept invitations"):
    redeemed: tuple[Redeemed, ...]


def write_identity(path: Path, identity: Identity, credential: Credential | None, unlock: Unlock,
                   entropy: Entropy) -> None:
    """Replaces the file. credential: None: there is none yet, or it is an issuer's. Raises OSError."""
    write_sealed(path, encode(_Identity(identity.reveal(), credential)), unlock, entropy, IDENTITY)


def read_identity(path: Path, unlock: Unlock) -> tuple[Identity, Credential | None]:
    """Who this node is. Raises KeyringSealed, which never says a key; OSError when it is not there."""
    content = read_sealed(path, unlock, IDENTITY, IDENTITY_MAX)
    try:
        kept: _Identity = decode(content, _Identity)
    except BadPacket:
        raise _damaged(path) from None
    if len(kept.keys) != 2 * KEY:
        raise _damaged(path)
    return Identity.revealed(kept.keys), kept.credential


def open_identity(path: Path, unlock: Unlock, entropy: Entropy) -> tuple[Identity, Credential | None]:
    """Who this node is; a new identity where there is no file. Raises KeyringSealed, OSError."""
    try:
        return read_identity(path, unlock)
    except FileNotFoundError:
        identity = Identity.generate(entropy)
        write_identity(path, identity, None, unlock, entropy)
        return identity, None


def write_state(path: Path, state: bytes, unlock: Unlock, entropy: Entropy) -> None:
    """Replaces the file by ``Trust.state()``. Raises OSError; ConfigurationError for more than is read back."""
    if len(state) > STATE_MAX * 3 // 4 - (1 << 16):
        raise ConfigurationError("the list of the revoked is too long to be kept: give the cluster a new issuer")
    write_sealed(path, state, unlock, entropy, STATE)


def read_state(path: Path, unlock: Unlock) -> bytes:
    """For ``Trust.restore``; empty where there is no file yet. Raises KeyringSealed, OSError."""
    try:
        return read_sealed(path, unlock, STATE, STATE_MAX)
    except FileNotFoundError:
        return b""


def write_redeemed(path: Path, redeemed: tuple[Redeemed, ...], unlock: Unlock, entropy: Entropy) -> None:
    """Replaces the file by what ``Invitations`` gave to keep. Raises OSError."""
    write_sealed(path, encode(_Invitations(redeemed)), unlock, entropy, INVITATIONS)


def read_redeemed(path: Path, unlock: Unlock) -> tuple[Redeemed, ...]:
    """For ``Invitations``; none where there is no file yet. Raises KeyringSealed, OSError."""
    try:
        content = read_sealed(path, unlock, INVITATIONS, 2 * RECORD_MAX + OPEN_MAX * 1024)
        kept: _Invitations = decode(content, _Invitations, most=2 * RECORD_MAX + OPEN_MAX * 1024)
    except FileNotFoundError:
        return ()
    except BadPacket:
        raise _damaged(path) from None
    return kept.redeemed


def _damaged(path: Path) -> KeyringSealed:
    return KeyringSealed(f"{path} is damaged: take it from a backup, or begin anew")
