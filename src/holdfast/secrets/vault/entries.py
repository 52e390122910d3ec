# SPDX-License-Identifier: Apache-2.0
"""What the records of a vault say, once they are opened."""

from __future__ import annotations

from typing import Final

import msgspec

from ..._base.typed import msgpack_decoder
from ..contract import State
from .form import Unfit


class Written(msgspec.Struct, frozen=True, array_like=True, tag="written"):
    """A new version; its sealed value is in the same record. key: wrapped. epoch: in which the value was sealed."""

    name: str
    number: int
    made: int
    size: int
    key: bytes
    epoch: int
    label: str


class Labelled(msgspec.Struct, frozen=True, array_like=True, tag="labelled"):
    """A label moved. version: 0 takes it away."""

    name: str
    label: str
    version: int


class Turned(msgspec.Struct, frozen=True, array_like=True, tag="turned"):
    """Versions were deleted, or came back."""

    name: str
    versions: tuple[int, ...]
    state: State


class Kept(msgspec.Struct, frozen=True, array_like=True, tag="kept"):
    """A version in a file that was written anew; its sealed value is in the same record, unless it was destroyed."""

    name: str
    number: int
    made: int
    size: int
    key: bytes
    epoch: int
    state: State


class Named(msgspec.Struct, frozen=True, array_like=True, tag="named"):
    """A secret in a file that was written anew, after its versions. made: how many there ever were."""

    name: str
    made: int
    labels: dict[str, int]


class Leased(msgspec.Struct, frozen=True, array_like=True, tag="leased"):
    """A lease was given or renewed. until, most: ms since 1970; it ends at the first, and is never renewed beyond the
    second. who: has it, as the application says it."""

    id: str
    name: str
    version: int
    made: int
    until: int
    most: int
    who: str


class Ended(msgspec.Struct, frozen=True, array_like=True, tag="ended"):
    """Leases that are no more."""

    ids: tuple[str, ...]


class Revoked(msgspec.Struct, frozen=True, array_like=True, tag="revoked"):
    """Leases that have run out as of now. now: ms since 1970."""

    ids: tuple[str, ...]
    now: int


Entry = Written | Labelled | Turned | Kept | Named | Leased | Ended | Revoked

_DECODER: Final = msgpack_decoder(Entry)


def encode(entry: Entry) -> bytes:
    """As it is sealed."""
    return msgspec.msgpack.encode(entry)


def decode(raw: bytes) -> Entry:
    """Raises Unfit."""
    try:
        found: Entry = _DECODER.decode(raw)
    except (msgspec.MsgspecError, ValueError):
        raise Unfit("a record is of a later format") from None
    return found
