# SPDX-License-Identifier: Apache-2.0
"""A payload for named members alone, carried by all.

The group's key keeps strangers out; every member still reads what passes. A box is read by its recipients only::

    version · ephemeral key (32) · how many · a wrapped content key each (48) · body

    body     AES-256-GCM under a content key used once, over the padded payload and the recipients' names;
             bound to the sender, the topic and the ephemeral key
    wrapped  AES-256-GCM of the content key, under HKDF-SHA256 of two X25519 agreements:
             ephemeral ↔ recipient  (fresh: no two boxes share a key)
             sender    ↔ recipient  (only the sender, or the recipient itself, can make it);
             bound to the sender, the topic, the recipient's name and key, and the whole body

Since each wrapped key is bound to the whole body, a recipient that knows the content key cannot put another body before
the others. Since the recipients' names are inside, a box that was passed on to somebody else shows it. From outside it
shows how many recipients there are and the payload's length in steps; not who they are, nor which wrapped key is whose.

Not given: a recipient can show nobody else who sent it (sign the box for that), and whoever learns a recipient's
private key later reads old boxes (no forward secrecy on that side). A box can be replayed: the envelope it travels in
has a number. Source of the construction: RFC 9180 (HPKE), mode auth, of which this is no implementation: HPKE has one
recipient.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from ..._base.typed import from_msgpack
from ...errors import BadPacket, ConfigurationError, MissingExtra
from .framing import decoded, encoded, framed

VERSION: Final = b"\x01"
KEY: Final = 32
WRAPPED: Final = 48
#: Recipients of one box: a wrapped key costs 48 bytes, and 0.2 ms to make.
RECIPIENTS_MAX: Final = 255
_HEAD: Final = 1 + KEY + 1
#: Content keys, and the keys that wrap them, are used once: a nonce has nothing to tell apart.
_NONCE: Final = bytes(12)
_DOMAIN: Final = "holdfast gossip box 1"

Entropy = Callable[[int], bytes]


class Opened(msgspec.Struct, frozen=True):
    """What was in a box. recipients: to whom the sender addressed it, sorted."""

    payload: bytes
    recipients: tuple[str, ...]


class _Inside(msgspec.Struct, frozen=True, array_like=True):
    recipients: list[bytes]
    payload: bytes


def public_key(private: bytes) -> bytes:
    """The 32 bytes of an X25519 public key to those of a private one."""
    return bytes(_primitives().X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw())


def seal(payload: bytes, *, sender: str, sender_private: bytes, topic: str, recipients: Mapping[str, bytes],
         entropy: Entropy) -> bytes:
    """A box. recipients: X25519 public keys by name, 1 to 255; keys that stand for these names by certificate, or
    whoever gave a key reads. entropy: random bytes, ``secrets.token_bytes``. Raises ConfigurationError for recipients
    that cannot be, MissingExtra."""
    if not 1 <= len(recipients) <= RECIPIENTS_MAX:
        raise ConfigurationError(f"a box has 1 to {RECIPIENTS_MAX} recipients, and {len(recipients)} are named")
    lib = _primitives()
    ephemeral = lib.X25519PrivateKey.from_private_bytes(entropy(KEY))
    static = lib.X25519PrivateKey.from_private_bytes(sender_private)
    shown, content = bytes(ephemeral.public_key().public_bytes_raw()), entropy(KEY)
    sender_public = bytes(static.public_key().public_bytes_raw())
    inside = msgspec.msgpack.encode(_Inside(sorted(map(encoded, recipients)), payload))
    body = lib.AESGCM(content).encrypt(_NONCE, _padded(inside), _about(sender, topic, shown))
    wrapped = []
    for name, public in recipients.items():
        try:
            peer = lib.X25519PublicKey.from_public_bytes(public)
            shared = ephemeral.exchange(peer) + static.exchange(peer)
        except ValueError:
            raise ConfigurationError(f"the key of {name!r} is no X25519 public key") from None
        key = _wrapping(lib, shared, shown, sender_public, public)
        wrapped.append(lib.AESGCM(key).encrypt(_NONCE, content, _bound(sender, topic, name, shown, body)))
    return b"".join((VERSION, shown, bytes([len(wrapped)]), *sorted(wrapped), body))


def open_box(box: bytes, *, name: str, private: bytes, sender: str, sender_public: bytes, topic: str) -> Opened:
    """What is in a box for this member. Raises BadPacket: why=``key`` when it is not for this member, not by that
    sender or topic, or was changed, which cannot be told apart; ``short``, ``version``, ``value``. MissingExtra."""
    if len(box) < _HEAD + WRAPPED:
        raise BadPacket("a box is longer than that", why="short")
    if box[:1] != VERSION:
        raise BadPacket(f"a box of version {box[0]}, and 1 is known", why="version")
    shown, count = box[1:1 + KEY], box[1 + KEY]
    end = _HEAD + count * WRAPPED
    if not count or len(box) < end + 16:
        raise BadPacket("a box ends within its keys", why="short")
    body = box[end:]
    lib = _primitives()
    own = lib.X25519PrivateKey.from_private_bytes(private)
    try:
        shared = b"".join(own.exchange(lib.X25519PublicKey.from_public_bytes(each)) for each in (shown, sender_public))
    except ValueError:
        raise BadPacket("a box with a key that no honest sender makes", why="key") from None
    key = _wrapping(lib, shared, shown, sender_public, bytes(own.public_key().public_bytes_raw()))
    bound = _bound(sender, topic, name, shown, body)
    for at in range(_HEAD, end, WRAPPED):
        content = _try(lib, key, box[at:at + WRAPPED], bound)
        if content is not None:
            return _inside(_try(lib, content, body, _about(sender, topic, shown)), name, count)
    raise BadPacket("a box that does not open for this member, sender and topic", why="key")


def _inside(plain: bytes | None, name: str, count: int) -> Opened:
    if plain is None:
        raise BadPacket("a box whose body does not open with its own key", why="key")
    try:
        inside = from_msgpack(plain.rstrip(b"\0")[:-1], _Inside)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:  # guard: nesting. What nobody knows is entered
        raise BadPacket(f"what is in the box is not written as boxes are: {error}") from None
    names = tuple(decoded(each) for each in inside.recipients)
    if name not in names or len(names) != count:  # guard: it was addressed to this member, and to as many as it shows
        raise BadPacket("a box that was addressed to others")
    return Opened(inside.payload, names)


def _try(lib: Any, key: bytes, sealed: bytes, about: bytes) -> bytes | None:
    try:
        return bytes(lib.AESGCM(key).decrypt(_NONCE, sealed, about))
    except lib.InvalidTag:
        return None


def _about(sender: str, topic: str, shown: bytes) -> bytes:
    return framed(_DOMAIN, "body", sender, topic, shown)


def _bound(sender: str, topic: str, name: str, shown: bytes, body: bytes) -> bytes:
    return framed(_DOMAIN, "key", sender, topic, name, shown, hashlib.sha256(body).digest())  # guard: whose key it is


def _wrapping(lib: Any, shared: bytes, shown: bytes, sender: bytes, recipient: bytes) -> bytes:
    info = framed(_DOMAIN, shown, sender, recipient)
    return bytes(lib.HKDF(algorithm=lib.SHA256(), length=KEY, salt=None, info=info).derive(shared))


def _padded(plain: bytes) -> bytes:
    """With a mark and zeros up to the next length of four binary digits: at most an eighth longer, and at least to 64
    bytes."""
    size = max(64, len(plain) + 1)
    step = 1 << max(0, size.bit_length() - 4)
    return plain + b"\x80" + bytes(-(-size // step) * step - len(plain) - 1)


def _primitives() -> Any:
    """What is used of ``cryptography``. Raises MissingExtra."""
    try:
        from . import _primitives as found
    except ImportError as error:
        raise MissingExtra("gossip", "sealing payloads for members") from error
    return found
