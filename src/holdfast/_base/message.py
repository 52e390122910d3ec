# SPDX-License-Identifier: Apache-2.0
"""A message, and how it lies in a stream entry.

An entry is a flat list of field, value, field, value. Ours are::

    id           identity: a ULID, or the caller's own. Survives client retries, parking, burial and replay
    key          orders and partitions; never deduplicates by itself
    body         the payload, byte for byte
    type         message type, chosen by the publisher; picks the handler and the upcaster
    v            format version of ``body`` within its type, decimal; absent means 1
    at           wall time of publishing, ms since 1970, decimal
    ct           content type; absent means application/json
    traceparent  W3C trace context
    h:<name>     a header

``hf:…`` fields are ours: ``hf:identity`` keeps the identity of a message without ``id`` when it moves to another
stream, ``hf:note`` what was known of its attempts. Fields that are none of these are kept and travel along. An entry
written by somebody else has no ``id``: its identity is then (physical stream, entry id, digest of its fields), because
entry ids repeat across partitions and come back after a data loss. Its ``body`` is the ``body`` field if there is one,
or else all fields as one JSON object.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import msgspec

F_ID = b"id"
F_KEY = b"key"
F_BODY = b"body"
F_TYPE = b"type"
F_VERSION = b"v"
F_AT = b"at"
F_CONTENT_TYPE = b"ct"
F_TRACEPARENT = b"traceparent"
F_TRACESTATE = b"tracestate"
F_IDENTITY = b"hf:identity"
F_NOTE = b"hf:note"
OURS = b"hf:"
HEADER = b"h:"

JSON = "application/json"
MSGPACK = "application/msgpack"
BYTES = "application/octet-stream"


def fields_digest(fields: Sequence[bytes]) -> str:
    """SHA-256 over length-prefixed fields, 128 bits of it, hex: equal only for the same fields in the same order."""
    digest = hashlib.sha256()
    for part in fields:
        digest.update(b"%d:" % len(part))
        digest.update(part)
    return digest.hexdigest()[:32]


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "replace")


class Message(msgspec.Struct, eq=False, gc=False):
    """One message as read from a stream. Parts are decoded when first asked for; ``fields`` is what lies in the entry.

    stream: physical stream (one partition of a partitioned stream) the entry was read from. entry_id: its id there,
    ``b"ms-seq"``. fields: flat ``[field, value, …]``, byte for byte.
    """

    stream: str
    entry_id: bytes
    fields: Sequence[bytes]
    #: The whole entry, where it holds more than the message: of a replayed one its lineage, of a stowed one its note.
    raw: Sequence[bytes] | None = None
    _map: dict[bytes, bytes] | None = None

    @property
    def map(self) -> Mapping[bytes, bytes]:
        """Fields as a mapping; of a field that occurs twice the first one counts."""
        found = self._map
        if found is None:
            fields = self.fields
            found = dict(zip(fields[::2], fields[1::2], strict=False))
            if len(found) * 2 != len(fields):
                found = dict(zip(fields[-2::-2], fields[::-2], strict=False))
            self._map = found
        return found

    @property
    def id(self) -> str:
        """Identity (see the module's docstring)."""
        own = self.map.get(F_ID) or self.map.get(F_IDENTITY)
        if own is not None:
            return own.decode("utf-8", "replace")
        return f"{self.stream}/{self.entry_id.decode()}/{fields_digest(self.fields)}"

    @property
    def raw_id(self) -> bytes:
        """Identity as bytes; quick where the entry begins with it, as ours do."""
        fields = self.fields
        return fields[1] if fields and fields[0] == F_ID and fields[1] else self.id.encode("utf-8", "replace")

    @property
    def body(self) -> bytes:
        """The payload, byte for byte; for an entry without ``body``, its fields as one JSON object."""
        own = self.map.get(F_BODY)
        if own is not None:
            return own
        return msgspec.json.encode({str(_text(k)): _text(v) for k, v in self.map.items() if not k.startswith(OURS)})

    @property
    def key(self) -> str | None:
        """What the message is ordered and partitioned by; None without."""
        return _text(self.map.get(F_KEY))

    @property
    def type(self) -> str | None:
        """The publisher's name for this kind of message; None without."""
        return _text(self.map.get(F_TYPE))

    @property
    def version(self) -> int:
        """Format version; 1 when absent, -1 when it is no number (and so no version this consumer knows)."""
        raw = self.map.get(F_VERSION)
        if raw is None:
            return 1
        return int(raw) if raw.isdigit() and len(raw) < 10 else -1

    @property
    def content_type(self) -> str:
        """Media type of the body; JSON when the entry does not say."""
        return _text(self.map.get(F_CONTENT_TYPE)) or JSON

    @property
    def at_ms(self) -> int | None:
        """Wall time of publishing in ms since 1970, or else the entry id's time; None when neither is a number."""
        raw = self.map.get(F_AT)
        if raw is not None and raw.isdigit() and len(raw) < 16:
            return int(raw)
        head = self.entry_id.partition(b"-")[0]
        return int(head) if head.isdigit() and len(head) < 16 else None

    @property
    def traceparent(self) -> str | None:
        """W3C trace context of the publisher; None without."""
        return _text(self.map.get(F_TRACEPARENT))

    @property
    def headers(self) -> dict[str, str]:
        """The publisher's headers, names without ``h:``."""
        cut = len(HEADER)
        return {k[cut:].decode("utf-8", "replace"): v.decode("utf-8", "replace")
                for k, v in self.map.items() if k.startswith(HEADER)}

    @property
    def lineage(self) -> dict[str, str]:
        """What a replay wrote beside the message: its dead-letter metadata so far. Empty if it never died."""
        if self.raw is None:
            return {}
        own, raw = self.map, self.raw
        return {raw[i].decode("utf-8", "replace"): raw[i + 1].decode("utf-8", "replace")
                for i in range(0, len(raw) - 1, 2) if raw[i] not in own and not raw[i].startswith(OURS)}

    def __repr__(self) -> str:  # never the payload: reprs end in logs
        return f"<Message {self.stream} {self.entry_id.decode()} type={self.type} {len(self.body)} bytes>"
