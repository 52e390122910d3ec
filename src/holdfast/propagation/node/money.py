# SPDX-License-Identifier: Apache-2.0
"""Transactions and blocks: who signed them, and a transaction as bytes.

::

    payment    MessagePack of [sender, to, nonce, amount, fee]
    signature  by the sender, of "holdfast propagation transaction 1" │ 0 │ network's length u16 │ network │ payment
    bytes      MessagePack of [payment, signature]                      id: ``chain.transaction_id``, of all of it

Sender and maker are Ed25519 public keys, so nothing has to be looked up. The network stands in what is signed and is
not carried: what was paid in one network is nothing in another. There is one form: bytes that would be written
differently are refused, so nobody makes a second id of somebody's transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from ..._base.typed import from_msgpack
from ...errors import BadPacket, ConfigurationError
from ...gossip.signing.algorithms import Algorithm, PrivateKey, PublicKey
from ..chain import Header, transaction_id
from ..mempool import Transaction

TRANSACTION: Final = b"holdfast propagation transaction 1\0"
BLOCK: Final = b"holdfast propagation block 1\0"
#: Bytes of a transaction: keys, numbers and a signature need 200.
TRANSACTION_MAX: Final = 1024
NETWORK_MAX: Final = 64
#: Numbers are below this.
NUMBER_MAX: Final = 1 << 62

_Key = Annotated[bytes, Meta(min_length=32, max_length=32)]
_Number = Annotated[int, Meta(ge=0, lt=NUMBER_MAX)]


class _Payment(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    sender: _Key
    to: _Key
    nonce: _Number
    amount: _Number
    fee: _Number


class _Signed(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    payment: _Payment
    signature: Annotated[bytes, Meta(min_length=64, max_length=64)]


def domain(kind: bytes, network: str) -> bytes:
    """What a signature of that kind begins with in this network. Raises ConfigurationError."""
    name = network.encode()
    if not 0 < len(name) <= NETWORK_MAX:
        raise ConfigurationError(f"a network's name has 1 to {NETWORK_MAX} bytes")
    return kind + len(name).to_bytes(2, "big") + name


def pay(key: PrivateKey, network: str, *, to: bytes, nonce: int, amount: int, fee: int) -> Transaction:
    """A transaction of the holder of this key, signed. Raises ConfigurationError for a key of another algorithm or for
    numbers that are none."""
    if key.public.algorithm is not Algorithm.ED25519 or len(to) != 32:
        raise ConfigurationError("a transaction goes from an Ed25519 key to another one, of 32 bytes each")
    if min(nonce, amount, fee) < 0 or max(nonce, amount, fee) >= NUMBER_MAX:
        raise ConfigurationError("nonce, amount and fee are 0 or more, and below 2^62")
    payment = _Payment(key.public.data, to, nonce, amount, fee)
    signature = key.sign(domain(TRANSACTION, network) + msgspec.msgpack.encode(payment))
    return decode(msgspec.msgpack.encode(_Signed(payment, signature)))


def encode(tx: Transaction) -> bytes:
    """Its bytes."""
    return msgspec.msgpack.encode(_Signed(_payment(tx), tx.signature))


def decode(data: bytes) -> Transaction:
    """The transaction; its signature has not been looked at. Raises BadPacket."""
    if len(data) > TRANSACTION_MAX:
        raise BadPacket(f"a transaction of more than {TRANSACTION_MAX} bytes", why="large")
    try:
        found: _Signed = from_msgpack(data, _Signed)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise BadPacket(f"not a transaction: {error}") from None
    if msgspec.msgpack.encode(found) != data:  # guard: transaction-one-form. Or anybody gives it a second id
        raise BadPacket("a transaction in a form that nobody writes")
    paid = found.payment
    tx = Transaction(b"", paid.sender, paid.to, paid.nonce, paid.amount, paid.fee, len(data), found.signature)
    return msgspec.structs.replace(tx, id=transaction_id(tx))


def verifier(network: str) -> Callable[[Transaction], bool]:
    """Is it signed by its sender, in this network, and are its id and its size its own? Some 0.1 ms each. What a
    ``Mempool`` asks, and a ``Tree`` of what a block brings."""
    begins = domain(TRANSACTION, network)

    def verify(tx: Transaction) -> bool:
        payment = _payment(tx)
        if len(msgspec.msgpack.encode(_Signed(payment, tx.signature))) != tx.size:  # guard: transaction-size
            return False
        if transaction_id(tx) != tx.id:  # guard: transaction-id
            return False
        return _signed(tx.sender, tx.signature, begins + msgspec.msgpack.encode(payment))

    return verify


def sealer(key: PrivateKey, network: str) -> Callable[[bytes], bytes]:
    """Seals headers with this key."""
    begins = domain(BLOCK, network)
    return lambda unsealed: key.sign(begins + unsealed)


def sealed(makers: Collection[bytes], network: str) -> Callable[[Header], bool]:
    """Is a header sealed by one of these? Without makers nobody may make blocks."""
    begins, allowed = domain(BLOCK, network), frozenset(makers)

    def seal(header: Header) -> bool:
        if header.maker not in allowed:  # guard: makers
            return False
        return _signed(header.maker, header.seal, begins + header.unsealed())

    return seal


def _signed(public: bytes, signature: bytes, message: bytes) -> bool:
    try:
        key = PublicKey(Algorithm.ED25519, public)
    except ConfigurationError:
        return False
    return key.verify(signature, message)


def _payment(tx: Transaction) -> _Payment:
    return _Payment(tx.sender, tx.to, tx.nonce, tx.amount, tx.fee)
