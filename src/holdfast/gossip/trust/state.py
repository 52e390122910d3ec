# SPDX-License-Identifier: Apache-2.0
"""What a member knows, as bytes to be kept, and back. As secret as the keys in it."""

from __future__ import annotations

from typing import Final

from ...errors import BadPacket, KeyringSealed, NotTrusted
from .admission import Credential, Vouched
from .book import Book
from .epochs import Announcement, Epoch, GroupKey, Over
from .records import Record, decode, encode
from .revocations import Revocations

#: Bytes of a state: 64k revocations and the certificates of as many members.
STATE_MAX: Final = 72 << 20


class _Epoch(Record, frozen=True, tag="kept epoch"):
    said: Vouched
    key: bytes
    author: str
    active: Vouched | None


class _State(Record, frozen=True, tag="kept state"):
    cluster: bytes
    epochs: tuple[_Epoch, ...]
    over: tuple[Over, ...]
    entries: tuple[Vouched, ...]
    members: tuple[Credential, ...]


def freeze(book: Book) -> bytes:
    """All of it."""
    epochs = tuple(_Epoch(one.said, one.key.reveal(), one.author, one.active) for one in book.epochs)
    members = tuple(member.credential for _, member in sorted(book.members.items()))
    return encode(_State(book.anchor.cluster, epochs, book.epochs.all_over, book.revocations.entries, members))


def thaw(book: Book, data: bytes) -> tuple[Credential, ...]:
    """Takes it back into the book, and gives the certificates, which have to be learned anew. Raises KeyringSealed."""
    try:
        state: _State = decode(data, _State, most=STATE_MAX)
        if state.cluster != book.anchor.cluster:
            raise KeyringSealed("this is the state of a member of another cluster")
        held = []
        for one in state.epochs:
            record, key = book.anchor.verify(one.said.said, Announcement), GroupKey(one.key)
            if key.check != record.check:
                raise NotTrusted("another key than was announced", why="sealed")
            held.append(Epoch(one.said, record, key, one.author, one.active))
        book.revocations = Revocations(book.anchor, state.entries)
    except (BadPacket, NotTrusted) as error:
        raise KeyringSealed(f"the state of this member is damaged: begin anew, it will ask the others ({error})"
                            ) from None
    book.epochs.restore(held, state.over)
    return state.members
