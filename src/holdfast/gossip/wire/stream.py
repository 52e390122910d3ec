# SPDX-License-Identifier: Apache-2.0
"""A stream, from its first byte to the message it carries. One request, and one answer at most, per connection.

::

    [ label ] ( plain │ 0a │ length u32 │ encrypted ( [ compressed ] message ))

``StreamReader`` is fed as bytes arrive and says when the message is there. It takes no more into memory than its limits
allow, whatever is announced: they are looked at when the announcement is read. A stream that was announced as encrypted
is opened when it is there as a whole, since nothing of it may be believed before; a plain one is read as it comes, a
member at a time, and one that is not complete is read again when what it lacked first is there.

Source: github.com/hashicorp/memberlist, net.go and security.go.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from typing import Final, TypeVar

import msgspec

from ...errors import BadPacket
from ..messages import Message, NodeState, PushPull, User
from . import label, seal, wrapping
from .codec import NODE_STATE, Type, encode, read
from .dialect import BOOL, INT, Short, read_bytes, read_count, read_int, skip
from .form import ELEMENTS_MAX, FIELDS_MAX, Field, Form
from .packet import Framing, Keys, Nonce

T = TypeVar("T")

#: Members in one exchange, bytes of all of it, and bytes of one member in it.
NODES_MAX: Final = 1 << 20
STATE_MAX: Final = 20 << 20
NODE_MAX: Final = 16 << 10
#: Bytes of a message that is neither an exchange nor the user's.
SMALL_MAX: Final = 64 << 10
#: What stands before what is encrypted: type and length, bound to it as associated data.
_ENVELOPE: Final = 5
#: Bytes of a key or a number.
_SCALAR_MAX: Final = 300
#: Bytes that are read in one go.
_CHUNK: Final = 256 << 10


class _Head(msgspec.Struct, frozen=True, gc=False):
    nodes: int
    user_state: int
    join: bool


class _UserHead(msgspec.Struct, frozen=True, gc=False):
    size: int


_HEAD: Final = Form(_Head, Field("Join", "join", BOOL), Field("Nodes", "nodes", INT),
                    Field("UserStateLen", "user_state", INT))
_USER_HEAD: Final = Form(_UserHead, Field("UserMsgLen", "size", INT))


# -- writing ----------------------------------------------------------------------------------------------------------

def body(message: Message) -> bytes:
    """The message as a stream carries it, before it is framed."""
    if isinstance(message, PushPull):
        head = _Head(len(message.states), len(message.user_state), message.join)
        return b"".join((b"\x06", _HEAD.write(head), *map(NODE_STATE.write, message.states), message.user_state))
    if isinstance(message, User):
        return b"\x08" + _USER_HEAD.write(_UserHead(len(message.payload))) + message.payload
    return encode(message)


def write(message: Message, framing: Framing, nonce: Nonce) -> bytes:
    """All bytes of the stream that carries this message."""
    data = body(message)
    if framing.compress:
        data = wrapping.compressed(data)
    if framing.keys is not None and framing.verify_outgoing:
        head = b"\x0a" + seal.sealed_size(len(data), framing.version).to_bytes(4, "big")
        data = head + seal.seal(framing.keys.keys[0], data, nonce=nonce(), associated=head + framing.label,
                                version=framing.version)
    return label.put(framing.label, data)


# -- reading ----------------------------------------------------------------------------------------------------------

#: Steps of reading: each yields how many bytes have to be there before the next one, and the last returns the message.
_Steps = Generator[int, None, Message]


def read_body(data: bytes, *, state_max: int = STATE_MAX, nodes_max: int = NODES_MAX) -> Message:
    """The message of bytes that are all there. Raises BadPacket."""
    found = _Fed(lambda fed: _message(fed, state_max, nodes_max)).feed(data)
    if found is None:
        raise BadPacket("a stream that ends within its message", why="short")
    return found


class _Fed:
    """Bytes that arrive, and steps that read them."""

    def __init__(self, steps: Callable[[_Fed], _Steps]) -> None:
        self.data = bytearray()
        self._steps = steps(self)
        self.wanted = next(self._steps)

    def feed(self, data: bytes) -> Message | None:
        self.data += data
        while len(self.data) >= self.wanted:
            try:
                self.wanted = next(self._steps)
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]
        return None

    def take(self, size: int) -> bytes:
        taken = bytes(self.data[:size])
        del self.data[:size]
        return taken

    def record(self, read: Callable[[bytes, int], tuple[T, int]], most: int) -> Generator[int, None, T]:
        """A record at the front, of ``most`` bytes at most."""
        while True:
            try:
                value, end = read(bytes(self.data[:most]), 0)
            except IndexError as error:
                yield self.more(error.wanted if isinstance(error, Short) else len(self.data) + 1, most)
            else:
                del self.data[:end]
                return value

    def more(self, wanted: int, most: int) -> int:
        """How much to wait for. Raises BadPacket when it is more than ``most``."""
        if wanted > most:  # guard: records. One that does not end is not collected for ever
            raise BadPacket(f"one record of more than {most} bytes", why="large")
        return max(wanted, len(self.data) + 1)


class StreamReader:
    """Takes a stream's bytes as they come.

    state_max: bytes that an exchange, or what is encrypted, may have; nodes_max: members in it. memberlist's limits.
    """

    def __init__(self, framing: Framing, *, state_max: int = STATE_MAX, nodes_max: int = NODES_MAX) -> None:
        self._fed = _Fed(lambda fed: _framed(fed, framing, state_max, nodes_max))

    @property
    def wanted(self) -> int:
        """How many more bytes have to come before anything can be said."""
        return self._fed.wanted - len(self._fed.data)

    def feed(self, data: bytes) -> Message | None:
        """The message once it is there, None before. Raises BadPacket; the connection is of no use then."""
        return self._fed.feed(data)


def _framed(fed: _Fed, framing: Framing, state_max: int, nodes_max: int) -> _Steps:
    yield from _label(fed, framing.label)
    yield 1
    encrypted = fed.data[0] == Type.ENCRYPT
    if framing.keys is not None and encrypted:
        plain = yield from _opened(fed, framing.keys, framing.label, state_max)
        return read_body(plain, state_max=state_max, nodes_max=nodes_max)
    if encrypted:
        raise BadPacket("an encrypted stream, and this member has no keys", why="key")
    if framing.keys is not None and framing.verify_incoming:  # guard: plain streams. Nobody without a key is heard
        raise BadPacket("a plain stream, and this member takes encrypted ones only", why="plain")
    return (yield from _message(fed, state_max, nodes_max))


def _label(fed: _Fed, wanted: bytes) -> Generator[int, None, None]:
    yield 1
    size = 0
    if fed.data[0] == Type.HAS_LABEL:
        yield 2
        size = 2 + fed.data[1]
        yield size
    label.check(wanted, fed.take(size))


def _opened(fed: _Fed, keys: Keys, label: bytes, most: int) -> Generator[int, None, bytes]:
    yield _ENVELOPE
    head = fed.take(_ENVELOPE)
    size = int.from_bytes(head[1:], "big")
    if size > most:  # guard: announced. Refused before a byte of it is kept
        raise BadPacket(f"{size} encrypted bytes are announced, and {most} are the most", why="large")
    yield size
    return seal.unseal(keys.keys, fed.take(size), associated=head + label)


def _message(fed: _Fed, state_max: int, nodes_max: int) -> _Steps:
    yield 1
    kind = fed.data[0]
    if kind == Type.COMPRESS:
        del fed.data[:1]
        inner = yield from _inflated(fed, state_max)
        if inner[:1] == b"\x09":
            raise BadPacket("compressed twice", why="deep")
        return read_body(inner, state_max=wrapping.STREAM_INFLATED_MAX, nodes_max=nodes_max)
    if kind == Type.PUSH_PULL:
        del fed.data[:1]
        return (yield from _push_pull(fed, state_max, nodes_max))
    if kind == Type.USER:
        del fed.data[:1]
        head = yield from fed.record(_USER_HEAD.read, SMALL_MAX)
        yield _announced(head.size, state_max, "bytes of the user's")
        return User(fed.take(head.size))
    return (yield from fed.record(read, SMALL_MAX))


def _inflated(fed: _Fed, most: int) -> Generator[int, None, bytes]:
    """What a compressed message holds. Field by field, so that millions of bytes of it are read once."""
    algorithm, data = 0, b""
    count = yield from fed.record(partial(read_count, of_map=True, most=FIELDS_MAX), _SCALAR_MAX)
    for _ in range(count):
        key = yield from fed.record(read_bytes, _SCALAR_MAX)
        if key == b"Buf":
            data = yield from fed.record(read_bytes, most)
        elif key == b"Algo":
            algorithm = yield from fed.record(read_int, _SCALAR_MAX)
        else:
            yield from fed.record(_skipped, SMALL_MAX)
    return wrapping.expand(algorithm, data, wrapping.STREAM_INFLATED_MAX)


def _skipped(data: bytes, at: int) -> tuple[None, int]:
    return None, skip(data, at, ELEMENTS_MAX)


def _announced(size: int, most: int, what: str) -> int:
    if not 0 <= size <= most:  # guard: announced sizes. Before memory is taken, not after
        raise BadPacket(f"{size} {what} are announced, and {most} are the most", why="large")
    return size


def _push_pull(fed: _Fed, state_max: int, nodes_max: int) -> _Steps:
    head = yield from fed.record(_HEAD.read, SMALL_MAX)
    _announced(head.nodes, nodes_max, "members")
    size = _announced(head.user_state, state_max, "bytes of the user's")
    states = yield from _states(fed, head.nodes, state_max)
    yield size
    return PushPull(tuple(states), fed.take(size), head.join)


def _states(fed: _Fed, count: int, left: int) -> Generator[int, None, list[NodeState]]:
    """So many members. Many are read out of one copy of what is there; one that is not complete is read again later."""
    states: list[NodeState] = []
    while len(states) < count:
        chunk, at = bytes(fed.data[:_CHUNK]), 0
        try:
            while len(states) < count:
                state, at = NODE_STATE.read(chunk, at)
                if not state.node:
                    raise BadPacket("a member without a name")
                states.append(state)
        except Short as short:
            wanted = short.wanted - at
        left -= at
        if left < 0:  # guard: all members. Small ones add up
            raise BadPacket("an exchange of more bytes than it may have", why="large")
        del fed.data[:at]
        if len(states) < count and len(fed.data) == len(chunk) - at:
            yield fed.more(wanted, NODE_MAX)
        elif not at:
            raise BadPacket(f"a member of more than {NODE_MAX} bytes", why="large")
    return states
