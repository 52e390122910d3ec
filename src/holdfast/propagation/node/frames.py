# SPDX-License-Identifier: Apache-2.0
"""What two nodes say to each other once they know who they are, as bytes.

::

    length u32 │ tag 16 │ payload        payload: MessagePack of an array, the word's name first

A word is decoded into a type or refused: unknown names, fields too many, ids that are no hashes and lists without end
never get past this file. The tag (``channel``) is looked at before the payload is. A relay's ``Message`` names
transactions by id; here a body travels along, so ``said`` and ``heard`` turn one into the other.
"""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta

from ..._base.typed import msgpack_decoder
from ...errors import BadPacket, DecodeError
from ..chain import BLOCK_KINDS, BlockMessage, decoded, encoded
from ..mempool import Transaction
from ..relay.words import Kind, Message
from . import money

#: Bytes of a frame's payload. A thousand ids are 34 kB; a block of 1 MB of short transactions is three times as long
#: with their ids and names.
FRAME_MAX: Final = 4 << 20
#: Ids in one word: as many as a sketch of a busy node has. Announcements are cut into pieces of ``IDS_SAID``.
IDS_MAX: Final = 10_000
IDS_SAID: Final = 1000
#: Addresses in one answer.
ADDRESSES_MAX: Final = 100
#: Links a body may say that it went. More is a lie.
HOPS_MAX: Final = 65_535

Hash: TypeAlias = Annotated[bytes, Meta(min_length=32, max_length=32)]
Host: TypeAlias = Annotated[str, Meta(min_length=1, max_length=64)]
Port: TypeAlias = Annotated[int, Meta(ge=1, le=65_535)]


class _Word(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=True):
    """Something that one node says."""


class Said(_Word, frozen=True, tag="said"):
    """A relay's message. body: of ``body`` and ``stem``, the transaction; its id is not said but computed."""

    kind: Kind
    ids: Annotated[tuple[Hash, ...], Meta(max_length=IDS_MAX)] = ()
    count: Annotated[int, Meta(ge=-1, le=1 << 31)] = 0
    hops: Annotated[int, Meta(ge=0, le=HOPS_MAX)] = 0
    body: Annotated[bytes, Meta(max_length=money.TRANSACTION_MAX)] = b""


class Blocks(_Word, frozen=True, tag="blocks"):
    """A message about blocks, as ``chain.encoded`` writes it."""

    message: Annotated[bytes, Meta(max_length=FRAME_MAX)]


class Ping(_Word, frozen=True, tag="ping"):
    """Are you there? nonce: what the answer repeats."""

    nonce: Annotated[int, Meta(ge=0, lt=1 << 62)]


class Pong(_Word, frozen=True, tag="pong"):
    """I am."""

    nonce: Annotated[int, Meta(ge=0, lt=1 << 62)]


class AskAddresses(_Word, frozen=True, tag="ask-addresses"):
    """Whom do you know?"""


class Seen(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A node's address. age_s: how long ago somebody was in touch with it, as the teller knows. label: which part of
    the world it says to be in; may be empty."""

    host: Host
    port: Port
    age_s: Annotated[int, Meta(ge=0, lt=1 << 31)] = 0
    label: Annotated[str, Meta(max_length=32)] = ""


class Addresses(_Word, frozen=True, tag="addresses"):
    """Some of those I know."""

    known: Annotated[tuple[Seen, ...], Meta(max_length=ADDRESSES_MAX)]


class Bye(_Word, frozen=True, tag="bye"):
    """The link ends now, and why."""

    why: Annotated[str, Meta(max_length=64)]


Word: TypeAlias = Said | Blocks | Ping | Pong | AskAddresses | Addresses | Bye

_words: Final = msgpack_decoder(Word)


def encode(word: Word) -> bytes:
    """A frame's payload."""
    return msgspec.msgpack.encode(word)


def decode(payload: bytes) -> Word:
    """The word. Raises BadPacket for all that is not exactly one."""
    if len(payload) > FRAME_MAX:  # guard: frame-size
        raise BadPacket(f"a frame of more than {FRAME_MAX} bytes", why="large")
    try:
        word: Word = _words.decode(payload)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise BadPacket(f"not a word that nodes say: {error}") from None
    return word


def said(message: Message, transaction: Transaction | None) -> list[Word]:
    """A relay's message as words: one, or several where it names very many. transaction: of a body."""
    if isinstance(message, BlockMessage):
        return [Blocks(encoded(message))]
    if message.kind in {"body", "stem"}:
        if transaction is None:
            raise ValueError("a body is said with its transaction")
        return [Said(message.kind, hops=min(message.hops, HOPS_MAX), body=money.encode(transaction))]
    ids = tuple(tx for tx in message.txs if isinstance(tx, bytes))
    if message.kind == "sketch":
        return [Said("sketch", ids[:IDS_MAX], message.count)]
    if not ids:
        return [Said(message.kind, count=message.count)]
    return [Said(message.kind, ids[start:start + IDS_SAID]) for start in range(0, len(ids), IDS_SAID)]


def heard(word: Said | Blocks) -> tuple[Message, Transaction | None]:
    """The relay's message again, and the transaction that came along. Raises BadPacket."""
    if isinstance(word, Blocks):
        try:
            return decoded(word.message), None
        except DecodeError as error:
            raise BadPacket(str(error)) from None
    if word.kind in BLOCK_KINDS:  # guard: kinds-apart. A block's message has another form
        raise BadPacket("a message about blocks in another one's form")
    if word.kind in {"body", "stem"}:
        transaction = money.decode(word.body)
        return Message(word.kind, (transaction.id,), transaction.size, word.hops), transaction
    if word.body:
        raise BadPacket("a body with a word that has none")
    return Message(word.kind, word.ids, count=word.count), None
