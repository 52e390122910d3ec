# SPDX-License-Identifier: Apache-2.0
"""A signed message as bytes: one byte string for each value, and no other.

::

    version u8, 1 │ kind u8 │ algorithm u8 │ cluster u8+n │ topic u8+n │ origin, 32 bytes │ key id u8+n, n 0 or 32
    epoch u64 │ sequence u64 │ time u64, ms since 1970 │ key u16+n │ payload u32+n           ── what is signed
    signature u16+n

Numbers are big-endian and of fixed width, ``u8+n`` is a length and so many bytes. Texts are UTF-8. An empty key id
stands for the origin itself, and has to when they are the same; an empty key says that none travels along.

Signed are these bytes up to the signature behind ``holdfast/gossip/v1/KIND`` and a zero byte, so that no signature
made for one kind of message, or for another protocol, means anything here. Hops stand before the envelope
(``carried``), since whoever passes a message on changes them and nothing else.

MessagePack and JSON were not taken: each writes one value in several ways, and a signature holds for bytes.
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct as Layout
from typing import Final, NoReturn, TypeVar

import msgspec

from ...errors import BadPacket, ConfigurationError
from .algorithms import KEY_MAX, SIGNATURE_MAX, Algorithm, signature_fits

E = TypeVar("E", bound=IntEnum)

VERSION: Final = 1
#: Bytes of a node id and of a key id: SHA-256.
ID: Final = 32
TEXT_MAX: Final = 255
#: Bytes of a payload; what is larger is cut, or told by a hash.
PAYLOAD_MAX: Final = 64 << 10
NUMBER_MAX: Final = (1 << 64) - 1
#: Steps that a message may still take.
HOPS_MAX: Final = 32
DOMAIN: Final = b"holdfast/gossip/v1/"

_NUMBERS: Final = Layout(">QQQ")
#: Bytes of the longest envelope.
ENVELOPE_MAX: Final = (3 + 2 * (1 + TEXT_MAX) + ID + 1 + ID + _NUMBERS.size + 2 + KEY_MAX + 4 + PAYLOAD_MAX
                       + 2 + SIGNATURE_MAX)
#: And of the shortest: a cluster of one letter, no topic, key or payload, and a signature of 64 bytes.
ENVELOPE_MIN: Final = 3 + 1 + 1 + 1 + ID + 1 + _NUMBERS.size + 2 + 4 + 2 + 64


class Kind(IntEnum):
    """What a message is, and so how often it counts. The numbers are those of the wire."""

    #: What a member says of a member. True or outdated whenever it comes: its incarnation decides, not its number.
    CLAIM = 1
    #: Bytes for the layer above. Counts once.
    USER = 2
    #: A member shows its key, and in the payload what proves that it may: a certificate. As good whenever it comes.
    KEY = 3

    @property
    def once(self) -> bool:
        """Does it count once, by its sequence number?"""
        return self is Kind.USER


class Envelope(msgspec.Struct, frozen=True, gc=False):
    """A signed message.

    origin: id of the node that says it. key_id: of the key that signed; the origin's own id unless it uses another.
    epoch: random, new at each start of the origin; sequence: from 1, grows within an epoch. time_ms: by the origin's
    clock. key: the public key, where it travels along, else empty.
    """

    kind: Kind
    algorithm: Algorithm
    cluster: str
    topic: str
    origin: bytes
    key_id: bytes
    epoch: int
    sequence: int
    time_ms: int
    key: bytes
    payload: bytes
    signature: bytes


def domain(kind: Kind) -> bytes:
    """What is put before the signed bytes of such a message."""
    return DOMAIN + kind.name.lower().encode() + b"\0"  # guard: domains. A signature is for one purpose


def body(envelope: Envelope) -> bytes:
    """The envelope up to its signature. Raises ConfigurationError for what has no room in one."""
    kind, algorithm, cluster, topic, origin, key_id, epoch, sequence, time_ms, key, payload, _ = (
        msgspec.structs.astuple(envelope))
    cluster, topic = _text("cluster", cluster), _text("topic", topic)
    if not cluster:
        raise ConfigurationError("a signed message names its cluster, so that it means nothing in another one")
    if not (len(origin) == len(key_id) == ID and 0 <= epoch <= NUMBER_MAX and 1 <= sequence <= NUMBER_MAX
            and 0 <= time_ms <= NUMBER_MAX and len(key) <= KEY_MAX):
        raise ConfigurationError("ids have 32 bytes, numbers 64 bits, and a sequence begins at 1")
    if len(payload) > PAYLOAD_MAX:
        raise ConfigurationError(f"a signed message carries {PAYLOAD_MAX} bytes, and this payload has {len(payload)}: "
                                 "send it in parts, or send its hash")
    other_key = b"" if key_id == origin else key_id
    return b"".join((bytes((VERSION, kind, algorithm, len(cluster))), cluster, bytes((len(topic),)), topic, origin,
                     bytes((len(other_key),)), other_key, _NUMBERS.pack(epoch, sequence, time_ms),
                     len(key).to_bytes(2, "big"), key, len(payload).to_bytes(4, "big"), payload))


def encode(envelope: Envelope) -> bytes:
    """The envelope's only form. Raises ConfigurationError for what has no room in one."""
    return body(envelope) + len(envelope.signature).to_bytes(2, "big") + envelope.signature


def decode(data: bytes) -> Envelope:
    """The envelope. Raises BadPacket for anything that ``encode`` would not have written."""
    if len(data) > ENVELOPE_MAX:
        _bad(f"a signed message of {len(data)} bytes, and {ENVELOPE_MAX} is the most", "large")
    reader = Reader(data)
    if reader.number(1) != VERSION:
        _bad("a signed message of another version", "version")
    kind = _known(Kind, reader.number(1))
    algorithm = _known(Algorithm, reader.number(1))
    cluster, topic = reader.text(), reader.text()
    origin, key_id = reader.take(ID), reader.sized(1, ID)
    epoch, sequence, time_ms = _NUMBERS.unpack(reader.take(_NUMBERS.size))
    key, payload = reader.sized(2, KEY_MAX), reader.sized(4, PAYLOAD_MAX)
    signature = reader.sized(2, SIGNATURE_MAX)
    if not signature_fits(algorithm, len(signature)):
        _bad("a signature whose length is not that of its algorithm")
    envelope = Envelope(kind, algorithm, cluster, topic, origin, key_id or origin, epoch, sequence, time_ms, key,
                        payload, signature)
    try:
        again = encode(envelope)
    except ConfigurationError as error:
        _bad(str(error))
    if again != data:  # guard: one form. Two forms of one message would count twice, and could differ in what follows
        _bad("a signed message in a form that nobody writes")
    return envelope


def signed_part(envelope: Envelope) -> bytes:
    """The bytes that the signature is for."""
    return domain(envelope.kind) + body(envelope)


def signed_part_of(data: bytes, envelope: Envelope) -> bytes:
    """The same, out of the bytes that ``decode`` read."""
    return domain(envelope.kind) + data[:len(data) - 2 - len(envelope.signature)]


def carried(hops: int, data: bytes) -> bytes:
    """An envelope with the steps that it may still take before it. Raises ConfigurationError beyond 0 to 32."""
    if not 0 <= hops <= HOPS_MAX:
        raise ConfigurationError(f"a message takes 0 to {HOPS_MAX} more steps, and not {hops}")
    return bytes((hops,)) + data


def taken(data: bytes) -> tuple[int, bytes]:
    """Steps left, and the envelope, unread. Raises BadPacket. Nobody signed the steps: they bound and prove nothing."""
    if len(data) < 2:
        _bad("a signed message that ends too early", "short")
    if data[0] > HOPS_MAX:
        _bad(f"a message that wants {data[0]} more steps, and {HOPS_MAX} is the most", "large")
    return data[0], data[1:]


class Reader:
    """Reads fields one after the other. Every method raises BadPacket where the data ends too early."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, size: int) -> bytes:
        """So many bytes."""
        end = self._at + size
        if end > len(self._data):
            _bad("a signed message that ends too early", "short")
        self._at, taken = end, self._data[self._at:end]
        return taken

    def number(self, size: int) -> int:
        """A number of so many bytes."""
        return int.from_bytes(self.take(size), "big")

    def sized(self, width: int, most: int) -> bytes:
        """Bytes behind their length, which has ``width`` bytes itself."""
        size = self.number(width)
        if size > most:
            _bad(f"a field of {size} bytes, where {most} is the most", "large")
        return self.take(size)

    def text(self) -> str:
        """UTF-8 behind its length."""
        try:
            return self.sized(1, TEXT_MAX).decode()
        except UnicodeDecodeError:
            _bad("a text that is no UTF-8")

    def end(self) -> None:
        """Nothing may follow."""
        if self._at != len(self._data):
            _bad("bytes behind the end of a signed message")


def _text(name: str, text: str) -> bytes:
    try:
        data = text.encode()
    except UnicodeEncodeError:
        raise ConfigurationError(f"the {name} of a signed message is UTF-8") from None
    if len(data) > TEXT_MAX:
        raise ConfigurationError(f"the {name} of a signed message has at most {TEXT_MAX} bytes")
    return data


def _known(of: type[E], number: int) -> E:
    try:
        return of(number)
    except ValueError:
        _bad(f"a {of.__name__.lower()} {number} that nobody knows", "type")


def _bad(message: str, why: str = "value") -> NoReturn:
    raise BadPacket(message, why=why)
