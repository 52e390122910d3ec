# SPDX-License-Identifier: Apache-2.0
"""Between the flat fields of a message (``_base.message``) and what AMQP carries. Pure.

::

    id, type, ct, at     properties message_id, type, content_type, timestamp (whole seconds; ms in header hf-at)
    body                 the body
    traceparent, tracestate, and h:<name>    headers of that name
    key, v               headers hf-key, hf-v
    x-dlq-…              headers of that name: letters, and what was replayed
    any other <name>     header hf-f-<name>

A header of a user's whose name could be taken for one of ours is written ``hf-h-<name>``. What does not fit this way (a
field that occurs twice, no body, text that is none, headers beyond 64 KiB, which would break a frame) travels
*packed*: all fields as MessagePack in the body. Headers of others that are no text are read as JSON.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from ..._amqp.parcel import Arrived, Parcel
from ..._base.letter_maps.form import plain, text_of
from ..._base.letter_text import utf8
from ..._base.message import (
    F_AT,
    F_BODY,
    F_CONTENT_TYPE,
    F_ID,
    F_KEY,
    F_NOTE,
    F_TRACEPARENT,
    F_TRACESTATE,
    F_TYPE,
    F_VERSION,
    HEADER,
    JSON,
)
from ..._base.typed import msgpack_decoder

#: Content type of a packed message.
PACKED: Final = "application/vnd.holdfast.fields+msgpack"
#: Where a note on a message's attempts lies.
H_NOTE: Final = "hf-note"
#: The id of a letter, whatever form it has.
H_LETTER: Final = "hf-letter"
#: The identity of a message without an id of its own, once it has moved.
H_IDENTITY: Final = "hf-f-hf:identity"
#: Says that ``message_id`` is none of the message's: the driver finds by it what came back, and gives one to each.
H_ANONYMOUS: Final = "hf-anonymous"
#: Bytes of headers in one message: they share one frame of AMQP, which RabbitMQ allows 128 KiB.
HEADERS_MAX: Final = 65_536
#: Bytes of a short text of AMQP, and of a header's name with what we put before it.
SHORT_MAX, NAME_MAX = 255, 200
#: What RabbitMQ or a queue writes, and what would send a copy elsewhere: nothing of it is the message's.
BROKERS_OWN: Final = ("x-death", "x-first-death-", "x-last-death-", "x-delivery-count", "x-opt-", "CC", "BCC")

_AS_PROPERTY: Final = {F_ID: "message_id", F_TYPE: "message_type", F_CONTENT_TYPE: "content_type"}
_AS_HEADER: Final = {F_KEY: "hf-key", F_VERSION: "hf-v", F_AT: "hf-at", F_TRACEPARENT: "traceparent",
                     F_TRACESTATE: "tracestate"}
_FROM_HEADER: Final = {name: field for field, name in _AS_HEADER.items()}
_unpacked: Final = msgpack_decoder(list[bytes])


def parcel_of(fields: Sequence[bytes], *, exchange: str, key: str, prefix: str) -> Parcel:
    """A message, or a letter, as it goes out. ``prefix`` begins metadata of letters."""
    found = dict(zip(fields[::2], fields[1::2], strict=False))
    if not _fits(found, fields):
        properties, body = _packed(fields)
        return Parcel(exchange=exchange, key=key, body=body, properties=properties,
                      headers={} if "message_id" in properties else {H_ANONYMOUS: True})
    properties = {name: found[field].decode() for field, name in _AS_PROPERTY.items() if field in found}
    properties.setdefault("content_type", JSON)
    at = found.get(F_AT, b"")
    if at.isdigit() and len(at) < 15:
        properties["timestamp"] = int(at) // 1000
    headers: dict[str, Any] = dict(_headers(found, utf8(prefix)))
    if F_ID not in found:
        headers[H_ANONYMOUS] = True
    return Parcel(exchange=exchange, key=key, headers=headers, properties=properties, body=found[F_BODY])


def letter_parcel(fields: Sequence[bytes], letter_id: str, *, queue: str, prefix: str) -> Parcel:
    """A letter on its way to the dead letters: as a message, with the id by which a second copy is known."""
    made = parcel_of(fields, exchange="", key=queue, prefix=prefix)
    return msgspec.structs.replace(made, headers={**made.headers, H_LETTER: letter_id})


def _packed(fields: Sequence[bytes]) -> tuple[dict[str, Any], bytes]:
    """Properties and body of a packed message: its id, if it can be said."""
    raw = dict(zip(fields[::2], fields[1::2], strict=False)).get(F_ID, b"")
    known_by = {"message_id": raw.decode()} if raw and len(raw) <= SHORT_MAX and _is_text(raw) else {}
    return {"content_type": PACKED, **known_by}, msgspec.msgpack.encode(list(fields))


def _fits(found: Mapping[bytes, bytes], fields: Sequence[bytes]) -> bool:
    heads = {name: value for name, value in found.items() if name != F_BODY}
    return (len(found) * 2 == len(fields) and F_BODY in found and found.get(F_CONTENT_TYPE) != utf8(JSON)
            and sum(len(n) + len(v) + 16 for n, v in heads.items()) <= HEADERS_MAX
            and all(_is_text(name) and 0 < len(name) <= NAME_MAX for name in heads)
            and all(_is_text(v) and 0 < len(v) <= SHORT_MAX for n, v in heads.items() if n in _AS_PROPERTY))


def _is_text(raw: bytes) -> bool:
    try:
        return b"\0" not in raw and bool(raw.decode() or True)
    except UnicodeDecodeError:
        return False


def _headers(found: Mapping[bytes, bytes], prefix: bytes) -> Iterator[tuple[str, str | bytearray]]:
    for field, value in found.items():
        if field == F_BODY or field in _AS_PROPERTY:
            continue
        if field in _AS_HEADER:
            name = _AS_HEADER[field]
        elif field == F_NOTE:
            name = H_NOTE
        elif field.startswith(prefix):
            name = field.decode()
        elif field.startswith(HEADER):
            own = field[len(HEADER):].decode()
            name = f"hf-h-{own}" if _is_ours(own, prefix.decode()) else own
        else:
            name = f"hf-f-{field.decode()}"
        yield name, value.decode() if _is_text(value) else bytearray(value)


def _is_ours(name: str, prefix: str) -> bool:
    return not name or name in _FROM_HEADER or name.startswith(("hf-", prefix, *BROKERS_OWN))


def fields_of(arrived: Arrived, prefix: str) -> list[bytes]:
    """A message as it came: its own fields, then metadata of letters, if there is any, in the order of a lineage."""
    if arrived.properties.get("content_type") == PACKED and (packed := _unpack(arrived.body)) is not None:
        return packed
    properties, headers = arrived.properties, arrived.headers
    fields: list[bytes] = []
    for field, name in _AS_PROPERTY.items():
        value = id_of(arrived) if field == F_ID else properties.get(name)
        if value and (field != F_CONTENT_TYPE or value != JSON):
            fields += (field, utf8(value))
    if "hf-at" not in headers and isinstance(at := properties.get("timestamp"), datetime):
        fields += (F_AT, b"%d" % int(at.timestamp() * 1000))
    tail: list[bytes] = []
    for name, value in headers.items():
        if name.startswith(prefix):
            tail += (utf8(name), _raw(value))
        elif (own := _field_of(name)) is not None:
            fields += (own, _raw(value))
    fields += (F_BODY, arrived.body)
    mark = utf8(prefix + "spec-version")
    if mark in tail[::2]:
        place = tail[::2].index(mark) * 2
        tail = tail[place:place + 2] + tail[:place] + tail[place + 2:]
    return fields + tail


def _field_of(name: str) -> bytes | None:
    """Where a header belongs; None: it is the broker's, or our note."""
    if name in _FROM_HEADER:
        return _FROM_HEADER[name]
    if name.startswith("hf-h-"):
        return HEADER + utf8(name[5:])
    if name.startswith("hf-f-"):
        return utf8(name[5:])
    return None if name in (H_NOTE, H_ANONYMOUS, H_LETTER) or name.startswith(BROKERS_OWN) else HEADER + utf8(name)


def _unpack(body: bytes) -> list[bytes] | None:
    try:
        found = _unpacked.decode(body)
    except msgspec.MsgspecError:  # it says it is ours, and is not: then it is a body like any other
        return None
    return None if len(found) % 2 else found


def _raw(value: Any) -> bytes:
    if isinstance(value, (bytes, bytearray, str)):
        return bytes(value) if not isinstance(value, str) else utf8(value)
    if isinstance(value, (bool, dict, list, tuple, datetime)) or value is None:
        return msgspec.json.encode(plain(value))
    return utf8(text_of(value))


def id_of(arrived: Arrived) -> str:
    """The id that its publisher gave it; empty: none."""
    given = arrived.properties.get("message_id")
    return str(given) if given and H_ANONYMOUS not in arrived.headers else ""


def note_of(arrived: Arrived) -> bytes:
    """The note that lies with it; empty: none."""
    raw = arrived.headers.get(H_NOTE)
    return _raw(raw) if isinstance(raw, (bytes, bytearray, str)) else b""


def again(arrived: Arrived, note: bytes, *, exchange: str, key: str, waited: str, prefix: str,
          extra: Mapping[str, str] = {}) -> Parcel:
    """The same message on its way elsewhere, whoever wrote it, with a note; byte for byte in all else. With headers
    that would not fit a frame together with ours it goes on packed.

    waited: how the names of queues begin in which it may have waited: of that history nothing is kept. What would end
    it (``expiration``), copy it (``CC``) or be refused (``user_id``) does not go along. extra: headers besides.
    """
    headers = {name: value for name, value in arrived.headers.items()
               if name != H_NOTE and not name.startswith(BROKERS_OWN)}
    told = arrived.headers.get("x-death")
    if isinstance(told, list) and (kept := [r for r in told if not str(_get(r, "queue")).startswith(waited)]):
        headers["x-death"] = kept
    properties, body = dict(arrived.properties), arrived.body
    if _size(headers) > HEADERS_MAX:  # guard: a frame that is too large ends the connection, and nothing goes on
        headers, (properties, body) = {}, _packed(fields_of(arrived, prefix))
    if note:
        headers[H_NOTE] = bytearray(note)
    if not id_of(arrived):
        headers[H_ANONYMOUS] = True
    return Parcel(exchange=exchange, key=key, headers={**headers, **extra}, properties=properties, body=body)


def _size(value: Any) -> int:
    """Bytes of a header's value in a frame, or a little more."""
    if isinstance(value, Mapping):
        return 16 + sum(len(utf8(str(name))) + 8 + _size(one) for name, one in value.items())
    if isinstance(value, (list, tuple)):
        return 16 + sum(_size(one) for one in value)
    return 16 + (len(utf8(value)) if isinstance(value, str) else len(value) if isinstance(value, (bytes, bytearray))
                 else 0)


def _get(row: Any, name: str) -> Any:
    return row.get(name, "") if isinstance(row, Mapping) else ""


__all__ = ["HEADERS_MAX", "H_ANONYMOUS", "H_IDENTITY", "H_LETTER", "H_NOTE", "PACKED", "again", "fields_of", "id_of",
           "letter_parcel", "note_of", "parcel_of"]
