# SPDX-License-Identifier: Apache-2.0
"""A transaction as bytes, and who signed it.

::

    payment   = MessagePack of [sender, to, nonce, amount, fee]
    signature = Ed25519 by the sender of "holdfast propagation transaction 1" │ 0 │ network's length u16 │ network │ payment
    bytes     = MessagePack of [payment, signature]                    id: chain's ``transaction_id``, of all of it

The sender is the public key, so nothing has to be looked up. The network stands in what is signed and is not carried:
what was paid in one network is nothing in another. There is one form: bytes that would be written differently are
refused, so nobody makes a second id of somebody's transaction.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from ..._base.typed import from_msgpack
from ...errors import BadPacket, ConfigurationError
from ...gossip.signing.algorithms import Algorithm, PrivateKey, PublicKey
from ..mempool import Transaction

DOMAIN: Final = b"holdfast propagation transaction 1\0"
#: Bytes of one: keys, numbers and a signature need 200.
TRANSACTION_MAX: Final = 1024
NETWORK_MAX: Final = 64

_Key = Annotated[bytes, Meta(min_length=32, max_length=32)]
_Number = Annotated[int, Meta(ge=0, lt=1 << 62)]


class _Payment(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    sender: _Key
    to: _Key
    nonce: _Number
    amount: _Number
    fee: _Number


class _Signed(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    payment: _Payment
    signature: Annotated[bytes, Meta(min_length=64, max_length=64)]


def domain(network: str) -> bytes:
    """What a signature begins with in this network. Raises ConfigurationError."""
    name = network.encode()
    if not 0 < len(name) <= NETWORK_MAX:
        raise ConfigurationError(f"a network's name has 1 to {NETWORK_MAX} bytes")
    return DOMAIN + len(name).to_bytes(2, "big") + name


def pay(key: PrivateKey, network: str, *, to: bytes, nonce: int, amount: int, fee: int) -> Transaction:
    """A transaction of the holder of this key, signed. Raises ConfigurationError for a key of another algorithm or for
    numbers that are none."""
    if key.public.algorithm is not Algorithm.ED25519 or len(to) != 32:
        raise ConfigurationError("a transaction goes from an Ed25519 key to another one, of 32 bytes each")
    if min(nonce, amount, fee) < 0 or max(nonce, amount, fee) >= 1 << 62:
        raise ConfigurationError("nonce, amount and fee are 0 or more, and below 2^62")
    payment = _Payment(key.public.data, to, nonce, amount, fee)
    return decode(msgspec.msgpack.encode(
        _Signed(payment, key.sign(domain(network) + msgspec.msgpack.encode(payment)))))


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
    return Transaction(hashlib.sha256(data).digest(), paid.sender, paid.to, paid.nonce, paid.amount, paid.fee,
                       len(data), found.signature)


def verifier(network: str) -> Callable[[Transaction], bool]:
    """Does the signature belong to the sender, in this network? What a ``Mempool`` asks, some 0.1 ms each."""
    begins = domain(network)

    def verify(tx: Transaction) -> bool:
        try:
            key = PublicKey(Algorithm.ED25519, tx.sender)
        except ConfigurationError:
            return False
        return key.verify(tx.signature, begins + msgspec.msgpack.encode(_payment(tx)))

    return verify


def _payment(tx: Transaction) -> _Payment:
    return _Payment(tx.sender, tx.to, tx.nonce, tx.amount, tx.fee)
