# SPDX-License-Identifier: Apache-2.0
"""From a body to a text that a person may edit, and back: what they did not touch stays as it was. Pure.

The text is the body as the role may see it, so some of it can be hidden or masked. If such a place comes back as it
was shown, the original's value is put there again; sent as it reads, the mask would be the value. A place counts by
where it stands: in objects by name, in lists of unchanged length by number. A mask that turns up anywhere else cannot
be resolved, and is refused. A text without fields has no places: masked parts of one have to be replaced.

Where nothing is hidden the text is what is sent, compact, number for number. Where something is, JSON goes through
values: a fraction keeps some 17 digits.
"""

from __future__ import annotations

import re
from typing import Any, Final, Literal

import msgspec

from .._base.decoder import base_type
from .._base.message import MSGPACK
from ..deadletters.handling.payload import ABSENT, value_of
from ..errors import LetterError

Kind = Literal["json", "msgpack", "text", "binary"]
#: What stands where something is hidden or masked: see ``people.fields`` and ``_base.redact``.
_MASKED: Final = re.compile(r"\*\*\*|\[(?:hidden|card|e-mail|private key|token|aws key id)\]")

_DEEP: Final = ("it is nested deeper than can be walked through: `holdfast dlq edit LETTER --body-file FILE` takes "
                "another one")


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """A text to edit. masked: some of it is hidden. why_not: it cannot be edited; empty: it can."""

    text: str
    kind: Kind
    masked: bool = False
    why_not: str = ""


def draft(body: bytes, content_type: str, seen: str) -> Draft:
    """The body as somebody may edit it. seen: as they may see it (``people.shown``)."""
    try:
        return _draft(body, content_type, seen)
    except (RecursionError, msgspec.DecodeError):  # what was shown of it has no fields either
        return Draft(text="", kind="binary", why_not=_DEEP)


def _draft(body: bytes, content_type: str, seen: str) -> Draft:
    value = value_of(body, content_type)
    if value is not ABSENT:
        masked = not _same(value, msgspec.json.decode(seen))
        kind: Kind = "msgpack" if base_type(content_type) == MSGPACK else "json"
        text = msgspec.json.format(body, indent=2).decode() if kind == "json" and not masked else seen
        return Draft(text=text, kind=kind, masked=masked)
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return Draft(text="", kind="binary",
                     why_not="it is binary: `holdfast dlq edit LETTER --body-file FILE` takes it")
    if seen == text:
        return Draft(text=text, kind="text")
    return Draft(text=seen, kind="text", masked=True)


def edited(body: bytes, content_type: str, seen: str, text: str) -> bytes:
    """The body that is meant by an edited text. Raises LetterError for one that means none."""
    before = draft(body, content_type, seen)
    if before.why_not:
        raise LetterError(before.why_not)
    if before.kind == "text":
        return _text(text, before)
    try:
        value = msgspec.json.decode(text.encode())
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise LetterError(f"it is not JSON: {error}") from None
    if before.kind == "json" and not before.masked:
        return msgspec.json.format(text.encode(), indent=-1)
    original = msgspec.json.decode(body) if before.kind == "json" else msgspec.msgpack.decode(body)
    try:
        back = _restored(original, msgspec.json.decode(before.text), value)
        return msgspec.json.encode(back) if before.kind == "json" else msgspec.msgpack.encode(back)
    except RecursionError:
        raise LetterError(_DEEP) from None


def line_ends(text: str, body: bytes) -> str:
    """A form's text with the line ends of the body: browsers send CRLF, whatever was there."""
    return text if b"\r\n" in body and body.count(b"\r\n") == body.count(b"\n") else text.replace("\r\n", "\n")


def _text(text: str, before: Draft) -> bytes:
    if before.masked and _MASKED.search(text):
        raise LetterError("parts of this text are hidden from you, and would be sent as they are shown: replace all of "
                          "them, or use `holdfast dlq edit LETTER --body-file FILE`")
    return text.encode()


def _same(one: Any, other: Any) -> bool:
    """Equal, and of one type: to JSON ``1``, ``1.0`` and ``true`` are three things."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(_same(value, other[key]) for key, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


def _restored(original: Any, seen: Any, new: Any) -> Any:
    if _same(seen, new):  # guard: what was not touched stays as it was
        return original
    if isinstance(new, dict) and isinstance(seen, dict) and isinstance(original, dict) and len(seen) == len(original):
        names = dict(zip(seen, original, strict=True))
        return {names[key] if key in seen else _fresh(key):
                _restored(original[names[key]], seen[key], value) if key in seen else _fresh(value)
                for key, value in new.items()}
    if isinstance(new, list) and isinstance(seen, list) and isinstance(original, list) and len(new) == len(original):
        return [_restored(*three) for three in zip(original, seen, new, strict=True)]
    return _fresh(new)


def _fresh(value: Any) -> Any:
    """A value of the person's own. Raises LetterError when a mask is in it."""
    if _MASKED.search(msgspec.json.encode(value).decode()):  # guard: no mask is sent as a value
        raise LetterError("something that is hidden from you was moved, or partly replaced, and would be sent as it is "
                          "shown: leave it where it was, or replace the whole value")
    return value
