# SPDX-License-Identifier: Apache-2.0
"""A message as a Kafka record, and back. Pure.

::

    field          in the record
    key            its key
    body           its value
    h:NAME         a header NAME, as anybody's header
    traceparent    a header of that name, as is tracestate: W3C says so
    id type v …    a header hf:id, hf:type, hf:v, hf:at, hf:ct
    others         a header of their own name where nobody could take it for something else (hf:…, x-dlq-…), else
                   hf:field: and NAME in hex

A record of somebody else's has neither ``hf:id`` nor ``hf:at``: its identity is then its place, and its time that of
the record. A record without value (a tombstone) is an empty body. Fields are in the order above when they come back.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Final

from ..._base.message import (
    F_AT,
    F_BODY,
    F_CONTENT_TYPE,
    F_ID,
    F_KEY,
    F_TRACEPARENT,
    F_TRACESTATE,
    F_TYPE,
    F_VERSION,
    HEADER,
    OURS,
)

__all__ = ["fields_of", "parts_of"]

Headers = list[tuple[str, bytes | None]]

_SHORT: Final = (F_ID, F_TYPE, F_VERSION, F_AT, F_CONTENT_TYPE)
_AS_THEY_ARE: Final = (F_TRACEPARENT, F_TRACESTATE)
_FIELD: Final = "hf:field:"
_OURS: Final = OURS.decode()
_NAMES: Final = {name: _OURS + name.decode() for name in _SHORT} | {name: name.decode() for name in _AS_THEY_ARE}
_FIELDS: Final = {header: name for name, header in _NAMES.items()}


def parts_of(fields: Sequence[bytes], plain: str = "") -> tuple[bytes | None, bytes, Headers]:
    """Key, value and headers of a message's flat fields. ``plain``: names that begin so become headers as they are.

    Of a key or body that is there twice the first one counts, as in a message.
    """
    key: bytes | None = None
    value: bytes | None = None
    headers: Headers = []
    for name, content in zip(fields[::2], fields[1::2], strict=True):
        if name == F_KEY and key is None:
            key = content
        elif name == F_BODY and value is None:
            value = content
        else:
            headers.append((_header_of(name, plain), content))
    return key, value or b"", headers


def _header_of(name: bytes, plain: str) -> str:
    known = _NAMES.get(name)
    if known is not None:
        return known
    try:
        text = name.decode()
    except UnicodeDecodeError:
        return _FIELD + name.hex()
    if name.startswith(HEADER):
        header = text[len(HEADER):]
        if not header.startswith(_OURS) and header not in _FIELDS and not (plain and header.startswith(plain)):
            return header
    elif (plain and text.startswith(plain)) or (name.startswith(OURS) and not text.startswith(_FIELD)):
        return text
    return _FIELD + name.hex()


def fields_of(key: bytes | None, value: bytes | None, headers: Headers | None, at_ms: int = 0, plain: str = ""
              ) -> list[bytes]:
    """The flat fields of a record: ``id`` first, ``body`` last. ``at_ms``: its time, for one that says none."""
    found: list[bytes] = []
    first: list[bytes] = []
    dated = False
    for header, content in headers or ():
        name = _field_of(header, plain)
        dated = dated or name == F_AT
        (first if name == F_ID and not first else found).extend((name, content or b""))
    if key is not None:
        first += (F_KEY, key)
    if not dated and at_ms > 0:
        found += (F_AT, b"%d" % at_ms)
    return [*first, *found, F_BODY, value or b""]


def _field_of(header: str, plain: str) -> bytes:
    known = _FIELDS.get(header)
    if known is not None:
        return known
    if header.startswith(_FIELD):
        with contextlib.suppress(ValueError):
            return bytes.fromhex(header[len(_FIELD):])
    raw = header.encode()
    return raw if header.startswith(_OURS) or (plain and header.startswith(plain)) else HEADER + raw
