# SPDX-License-Identifier: Apache-2.0
"""What nodes tell each other about blocks: messages that a relay's effects carry like any other, and their bytes.

::

    headers ─▶                 I have these. One: it is new. Many: the answer to getheaders
    getheaders ─▶ headers      from where this locator meets your chain on
    getcompact ─▶ compact      the block with short ids for its transactions
    getparts ─▶ parts          those of its transactions that I do not have
    getblock ─▶ block          the whole of it
             ─▶ absent         I do not have it

A message holds what it tells, so a node with sockets sends ``encoded(message)`` and a simulated one the message.
``size`` is what it weighs, by the same rule in both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from ..._base.typed import from_msgpack
from ...errors import DecodeError
from ..mempool import Transaction
from ..relay.words import Kind, Message
from .block import Block, Header

#: Kinds of message that are about blocks.
BLOCK_KINDS: Final[frozenset[str]] = frozenset({
    "headers", "getheaders", "getblock", "getcompact", "compact", "getparts", "parts", "block", "absent"})
#: Headers of one message, at most. Each costs the receiver a signature to check.
HEADERS_MAX: Final = 500
#: Ids of a locator, at most: enough for 2^50 blocks.
LOCATOR_MAX: Final = 64
#: Bytes of a short id: with 50,000 transactions at hand, one of 6 bytes is another's once in five billion times.
SHORT_BYTES: Final = 6
SALT_BYTES: Final = 8
#: What a header takes: three hashes, a signature, some numbers.
HEADER_BYTES: Final = 224
#: A kind, an id, a length.
FRAME_BYTES: Final = 40


class BlockMessage(Message, frozen=True, gc=False):
    """A message about blocks. txs: the block's id, or a locator. headers: what they are. salt, short: of a compact
    block. places: which of its transactions. bodies: transactions."""

    headers: tuple[Header, ...] = ()
    salt: bytes = b""
    short: tuple[bytes, ...] = ()
    places: tuple[int, ...] = ()
    bodies: tuple[Transaction, ...] = ()


def headers(found: Sequence[Header]) -> BlockMessage:
    """I have these."""
    return BlockMessage("headers", size=FRAME_BYTES + HEADER_BYTES * len(found), headers=tuple(found))


def getheaders(locator: Sequence[bytes]) -> BlockMessage:
    """What comes after these?"""
    return BlockMessage("getheaders", tuple(locator), FRAME_BYTES + 32 * len(locator))


def ask(kind: Kind, block: bytes) -> BlockMessage:
    """getblock, getcompact, absent: about that block."""
    return BlockMessage(kind, (block,), FRAME_BYTES)


def compact(block: Block, salt: bytes, short: Sequence[bytes], hops: int) -> BlockMessage:
    """The block by short ids."""
    return BlockMessage("compact", (block.id,), FRAME_BYTES + SALT_BYTES + SHORT_BYTES * len(short), hops, salt=salt,
                        short=tuple(short))


def getparts(block: bytes, places: Sequence[int]) -> BlockMessage:
    """Those of its transactions."""
    return BlockMessage("getparts", (block,), FRAME_BYTES + 2 * len(places), places=tuple(places))


def parts(block: bytes, bodies: Sequence[Transaction]) -> BlockMessage:
    """Here they are."""
    return BlockMessage("parts", (block,), FRAME_BYTES + sum(tx.size for tx in bodies), bodies=tuple(bodies))


def whole(block: Block, hops: int) -> BlockMessage:
    """Here it is."""
    return BlockMessage("block", (block.id,), FRAME_BYTES + HEADER_BYTES + block.header.size, hops,
                        headers=(block.header,), bodies=block.transactions)


def within(message: Message, count_max: int) -> bool:
    """Is there no more in it than there may be? count_max: transactions of a block."""
    if not isinstance(message, BlockMessage):
        return False
    ids = LOCATOR_MAX if message.kind == "getheaders" else 0 if message.kind == "headers" else 1
    return len(message.txs) <= ids and (ids == 0 or len(message.txs) > 0) \
        and all(isinstance(block, bytes) for block in message.txs) \
        and len(message.headers) <= HEADERS_MAX and len(message.salt) <= SALT_BYTES \
        and max(len(message.short), len(message.places), len(message.bodies)) <= count_max


def encoded(message: BlockMessage) -> bytes:
    """As bytes, without a frame."""
    return msgspec.msgpack.encode(message)


def decoded(data: bytes) -> BlockMessage:
    """The other way. Raises DecodeError. How long ``data`` may be is for whoever reads it from a socket to say; how
    much may be in it, ``BlockRelay`` says."""
    try:
        message = from_msgpack(data, BlockMessage)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DecodeError(f"this is no message about a block: {error}") from error
    if message.kind not in BLOCK_KINDS:
        raise DecodeError(f"a message about a block is not of kind {message.kind!r}")
    return message
