# SPDX-License-Identifier: Apache-2.0
"""Payloads that the broker cannot read: sealed before they are published, opened around the handler.

::

    box = SealedPayloads({"2026-11": key})                    # Secret of 32 bytes; the last one seals, all open
    await hf.publish("orders", **box.seal(order, id="o-7"))

    @hf.consumer("orders", group="billing", middleware=[box])
    async def bill(order: Order) -> None: …

Sealed is the body: AES-256-GCM under a key of its own for each message, derived from the named one and 16 random bytes
(HMAC-SHA-256), so that no number of messages wears a key out. Bound to it (associated data) are key id, message id,
type, format version and content type: a body that is put into another message, or told to be of another type, does not
open. What stays readable is all that brokers and consumers work with: ids, key, type, times, headers.

Only the handler sees the opened body. What is parked, buried or handed back is the message as it was published, so dead
letters are sealed too, and open where the key is.

**Rotation.** Give all consumers the new key first, then let publishers seal with it. A consumer that does not know a
key yet asks for the message again, without counting an attempt. A key may go when nothing sealed with it is left:
streams, retries, dead letters. Losing one loses what it sealed. Needs the extra ``secrets``. Not for batch handlers,
which take no middleware.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any, Final

import msgspec

from .._base.codec import encode, type_version
from .._base.message import BYTES, F_BODY, F_CONTENT_TYPE, F_VERSION, JSON, Message
from .._base.secret import Secret
from ..errors import ConfigurationError, DecodeError, MissingExtra
from .contract import Delivery
from .middleware import Endpoint
from .outcome import Retry

__all__ = ["SealedPayloads", "as_published", "with_body"]

#: Headers of a sealed message: id of its key, and content type and format version of what is inside.
H_KEY: Final = "hf-seal-key"
H_INSIDE: Final = "hf-seal-inside"
KEY_BYTES: Final = 32
_SALT: Final = 16
_NONCE: Final = bytes(12)  # each key seals one message, so one nonce will do
_LABEL: Final = b"holdfast seal 1"
#: Seconds until a message is looked at again whose key is not known here.
UNKNOWN_S: Final = 30.0


class SealedPayloads:
    """Seals and opens. keys: id → 32 bytes; the last one seals. required: a message that is not sealed is refused
    instead of being passed on: without, whoever may write to the stream may write in the clear."""

    def __init__(self, keys: Mapping[str, Secret[bytes]], *, required: bool = True) -> None:
        if not keys:
            raise ConfigurationError("sealing needs a key: SealedPayloads({'2026-11': Secret(…)})")
        for name, key in keys.items():
            if len(key.reveal()) != KEY_BYTES:
                raise ConfigurationError(f"key {name!r} has {len(key.reveal())} bytes: it takes {KEY_BYTES}, for "
                                         f"example of secrets.token_bytes({KEY_BYTES})")
        self._keys = dict(keys)
        self._current = list(keys)[-1]
        self._required = required
        self._cipher = _cipher()

    def seal(self, value: Any, *, id: str, type: str | None = None, headers: Mapping[str, str] | None = None
             ) -> dict[str, Any]:
        """What to publish instead of ``value``: keyword arguments of ``publish``. The id is bound to the body, so it
        has to be said."""
        body, content_type, name = encode(value)
        inside = f"{type_version(value.__class__)} {content_type}"
        kind = type or name
        salt = os.urandom(_SALT)
        bound = _bound(self._current, id, kind, inside)
        sealed = salt + self._cipher(self._derived(self._current, salt)).encrypt(_NONCE, body, bound)
        return {"value": sealed, "id": id, "type": kind,
                "headers": {**(headers or {}), H_KEY: self._current, H_INSIDE: inside}}

    def _derived(self, name: str, salt: bytes) -> bytes:
        return hmac.digest(self._keys[name].reveal(), _LABEL + salt, sha256)

    async def __call__(self, delivery: Delivery, call_next: Endpoint) -> Any:
        """Middleware: opens the body for what runs inside."""
        message = delivery.message
        name = message.headers.get(H_KEY)
        if name is None:
            if self._required:  # guard: nothing in the clear where sealed is what is wanted (test_sealed)
                raise DecodeError(f"message {message.id} is not sealed, and this consumer takes sealed ones only")
            return await call_next(delivery)
        if name not in self._keys:
            return Retry(UNKNOWN_S, reason="its key is not known here yet", counts=False)
        body, inside = self._opened(message, name), message.headers.get(H_INSIDE, "")
        async with as_published(delivery):
            delivery.message = with_body(message, body, inside)
            return await call_next(delivery)

    def _opened(self, message: Message, name: str) -> bytes:
        bound = _bound(name, message.id, message.type, message.headers.get(H_INSIDE, ""))
        salt, sealed = message.body[:_SALT], message.body[_SALT:]
        try:
            return bytes(self._cipher(self._derived(name, salt)).decrypt(_NONCE, sealed, bound))
        except Exception as error:
            raise DecodeError(f"message {message.id} does not open with key {name!r}: it was changed, or sealed as "
                              f"another message") from error


class as_published:  # noqa: N801 - it reads as what it does
    """Within it a delivery may hold another message; after it, it holds what was published, and nothing decoded."""

    def __init__(self, delivery: Delivery) -> None:
        self._delivery, self._message = delivery, delivery.message

    async def __aenter__(self) -> None: ...

    async def __aexit__(self, *_: object) -> None:
        self._delivery.message, self._delivery.body = self._message, None  # guard: letters hold what was published


def with_body(message: Message, body: bytes, inside: str) -> Message:
    """The message with another body. inside: its format version and content type, as ``1 application/json``."""
    version, _, content_type = inside.partition(" ")
    fields: list[bytes] = []
    for field, value in zip(message.fields[::2], message.fields[1::2], strict=True):
        if field not in (F_BODY, F_CONTENT_TYPE, F_VERSION):
            fields += (field, value)
    if version != "1":
        fields += (F_VERSION, version.encode())
    if content_type != JSON:
        fields += (F_CONTENT_TYPE, (content_type or BYTES).encode())
    return msgspec.structs.replace(message, fields=[*fields, F_BODY, body], _map=None)


def _bound(*parts: str | None) -> bytes:
    """Length before each, so that no two different lists are one text."""
    return _LABEL + b"".join(b"%d:%s" % (len(raw), raw) for raw in ((part or "").encode() for part in parts))


def _cipher() -> Callable[[bytes], Any]:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError as error:
        raise MissingExtra("secrets", "sealed payloads") from error
    return AESGCM

