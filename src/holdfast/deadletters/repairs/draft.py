# SPDX-License-Identifier: Apache-2.0
"""A message that is being mended: its body, as bytes and as a value, and what its entry says of it. Pure.

Numbers keep their digits: 19.90 stays 19.90, and an amount with twenty digits keeps them all. JSON and MessagePack have
a value; other bodies have bytes alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Final

import msgspec

from ..._base.decoder import base_type
from ..._base.message import JSON, MSGPACK, Message
from ...errors import RepairRefused
from ..letters import LetterInfo

#: Longest bodies that are mended, in bytes.
BODY_MAX: Final = 16 << 20
_read = msgspec.json.Decoder(float_hook=Decimal)
_write = msgspec.json.Encoder(decimal_format="number")


@dataclass(frozen=True, slots=True)
class Draft:
    """body, content_type: what a consumer would be handed. type, version, key, headers: what the entry says; no repair
    changes them, since a replay puts a body in the place of a body. metadata: of the letter.
    """

    body: bytes = field(repr=False)
    content_type: str = JSON
    type: str | None = None
    version: int = 1
    key: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    metadata: Mapping[str, str] = field(default_factory=dict, repr=False)

    def value(self) -> Any:
        """The body as plain values, new each time. Raises RepairRefused when it has none."""
        kind = base_type(self.content_type)
        if len(self.body) > BODY_MAX:
            raise RepairRefused(f"a body of {len(self.body)} bytes is mended by hand: repairs read at most {BODY_MAX}")
        try:
            if kind == JSON:
                return _read.decode(self.body)
            if kind == MSGPACK:
                return msgspec.msgpack.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise RepairRefused(f"the body is not {kind}, as its entry says: see whether the repair `encoding` can "
                                "read it") from None
        raise RepairRefused(f"a body of content type {kind} has no fields that could be mended")

    def with_value(self, value: Any) -> Draft:
        """The draft with this for its body, in its own content type. Raises RepairRefused for what cannot be in it."""
        try:
            body = (msgspec.msgpack.encode(value) if base_type(self.content_type) == MSGPACK else _write.encode(value))
        except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
            raise RepairRefused(f"what the repair made is nothing that a body can hold ({type(error).__name__})"
                                ) from None
        return replace(self, body=body)


def draft_of(letter: LetterInfo, body: bytes | None = None) -> Draft:
    """The message of a letter. body: what was made of its own one already."""
    message = Message(letter.source_stream, b"", letter.fields)
    if not letter.fields:
        raise RepairRefused("the letter has no message any more: it was trimmed before it died")
    return Draft(message.body if body is None else body, message.content_type, message.type, message.version,
                 message.key, message.headers, letter.metadata)


def pretty(value: Any) -> str:
    """A value as indented JSON, for people: what JSON has no word for, such as bytes of MessagePack, as Base64."""
    return msgspec.json.format(_write.encode(value), indent=2).decode()
