# SPDX-License-Identifier: Apache-2.0
"""From bytes to the type a handler asks for.

msgspec decodes and validates in one pass; Pydantic does where a Pydantic model is asked for. ``bytes`` gets the body as
it is, ``str`` gets it as UTF-8 text, whatever the content type says; ``Any`` gets what the content type says.

What comes out of a failure is a ``DecodeError`` (the bytes are not what the content type says) or a
``ValidationFailed`` (they are, and the shape is wrong). Their texts end in logs and letters, so they name the place and
what was expected, and never show what was there: the libraries' own messages quote values, and are therefore
neither passed on nor chained.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, get_args

import msgspec

from ..errors import ConfigurationError, DecodeError, MessageError, ValidationFailed
from .message import BYTES, JSON, MSGPACK
from .typed import converted, json_decoder, msgpack_decoder

TEXT = "text/plain"

#: What decoding may raise because of the body. Anything else (MemoryError, a validator's KeyError) is not the body's
#: proven fault and passes through, to be retried rather than buried.
REFUSALS = (msgspec.MsgspecError, ValueError, TypeError, RecursionError)

_any_json = msgspec.json.Decoder()
_any_msgpack = msgspec.msgpack.Decoder()


class Decoder:
    """Decodes bodies into one type. ``json`` is the bare fast path: it raises REFUSALS, for ``explain``."""

    __slots__ = ("_msgpack", "convert", "json", "wanted")

    def __init__(
        self,
        wanted: Any,
        json: Callable[[bytes], Any],
        msgpack: Callable[[bytes], Any],
        convert: Callable[[Any], Any],
    ) -> None:
        self.wanted = wanted
        self.json = json
        self._msgpack = msgpack
        #: From plain Python values (what ``Any`` gives) to the wanted type.
        self.convert = convert

    def decode(self, body: bytes, content_type: str = JSON) -> Any:
        """The body as the wanted type; DecodeError or ValidationFailed."""
        kind = base_type(content_type)
        try:
            if kind == JSON:
                return self.json(body)
            if kind == MSGPACK:
                return self._msgpack(body)
            return self.convert(_raw(body, kind, self.wanted))
        except REFUSALS as error:
            raise explain(error, body, kind, self.wanted) from None

    def from_plain(self, plain: Any) -> Any:
        """As ``decode``, for a value that was decoded (and perhaps upcast) before."""
        try:
            return self.convert(plain)
        except REFUSALS as error:
            raise explain(error, None, JSON, self.wanted) from None


def decoder_for(wanted: Any) -> Decoder:
    """A decoder into ``wanted``; ConfigurationError when no message can become one."""
    if wanted is bytes:
        return Decoder(bytes, _same, _same, _same)
    if wanted is str:
        return Decoder(str, _utf8, _utf8, _as_text)
    if any(_is_pydantic(part) for part in _parts(wanted)):
        return _pydantic_decoder(wanted)
    return _msgspec_decoder(wanted)


def decode_plain(body: bytes, content_type: str = JSON) -> Any:
    """The body as plain Python values, for upcasters."""
    return _ANY.decode(body, content_type)


def base_type(content_type: str) -> str:
    """``application/vnd.x+json; charset=utf-8`` is JSON to us."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind.endswith("+json"):
        return JSON
    return MSGPACK if kind in ("application/x-msgpack", "application/vnd.msgpack") else kind


def _same(body: bytes) -> bytes:
    return body


def _utf8(body: bytes) -> str:
    return body.decode("utf-8")


def _as_text(value: Any) -> Any:
    return value.decode("utf-8") if isinstance(value, bytes) else value


def _raw(body: bytes, kind: str, wanted: Any) -> Any:
    """A body of a content type that has no structure we can read."""
    if wanted is bytes:
        return body
    if kind.startswith("text/"):
        return _utf8(body)
    if kind == BYTES:
        return body
    raise DecodeError(f"content type {_shown(kind)} has no decoder: annotate the body as `bytes` to read it raw")


def _shown(kind: str) -> str:
    """A content type comes from the message: shown only when it looks like one."""
    return repr(kind) if re.fullmatch(r"[\w.+-]{1,40}/[\w.+-]{1,60}", kind) else "(malformed)"


# -- msgspec ---------------------------------------------------------------------------------------------------------


def _msgspec_decoder(wanted: Any) -> Decoder:
    try:
        if isinstance(msgspec.inspect.type_info(wanted), msgspec.inspect.CustomType):
            raise TypeError("it is neither a msgspec, dataclass, TypedDict, NamedTuple or Pydantic type, nor a builtin")
        json, pack = json_decoder(wanted).decode, msgpack_decoder(wanted).decode
    except (TypeError, NameError) as error:
        raise ConfigurationError(f"no message can become a {_name(wanted)}: {error}") from error
    return Decoder(wanted, json, pack, lambda plain: converted(plain, wanted, str_keys=True))


def _name(wanted: Any) -> str:
    return wanted.__qualname__ if isinstance(wanted, type) and not get_args(wanted) else str(wanted)


# -- Pydantic --------------------------------------------------------------------------------------------------------


def _parts(wanted: Any) -> Iterator[Any]:
    """The type itself and everything in its brackets."""
    yield wanted
    for part in get_args(wanted):
        yield from _parts(part)


def _is_pydantic(part: Any) -> bool:
    # By attribute, so that Pydantic is imported only where the user's own model has imported it already.
    return isinstance(part, type) and hasattr(part, "__pydantic_validator__")


def _pydantic_decoder(wanted: Any) -> Decoder:
    from pydantic import TypeAdapter

    adapter: Any = TypeAdapter(wanted)

    def from_plain(plain: Any) -> Any:
        # By way of JSON: a strict model takes a date from JSON text and refuses it as a Python string.
        return adapter.validate_json(msgspec.json.encode(plain))

    return Decoder(wanted, adapter.validate_json, lambda body: from_plain(_any_msgpack.decode(body)), from_plain)


# -- what went wrong, without what was there ---------------------------------------------------------------------------

#: What msgspec says that is made of the wanted type alone. The rest is cut down to what is in `_CUT`, or said for it.
_SAFE = re.compile(
    r"Expected `[^`]{1,200}`(?: (?:matching regex|of length|with|that|<|>|>=|<=).{0,200})?(?:, got `[\w| ]{1,40}`)?"
    r"|Object missing required field `[^`]{1,200}`"
    r"|(?:JSON|MessagePack data) is malformed: [a-z ',]{1,60}(?:\(byte \d+\))?"
    r"|Input data was truncated"
)
_CUT = ("Invalid enum value", "Invalid value", "Object contains unknown field", "Invalid RFC3339", "Invalid ISO8601",
        "Invalid UUID", "Invalid base64", "Invalid decimal", "Integer value out of range", "Number out of range")
_PATH = re.compile(r" - at `([^`]{1,200})`$")


def explain(error: Exception, body: bytes | None, kind: str, wanted: Any) -> MessageError:
    """The error to raise instead of a library's own."""
    if isinstance(error, UnicodeDecodeError) and wanted is str:
        return DecodeError(f"the body is not UTF-8 text (byte {error.start})")
    if body is not None and (broken := _malformed(body, kind)) is not None:
        return DecodeError(f"the body is not {kind}: {broken}")
    if hasattr(error, "error_count"):  # pydantic.ValidationError, not imported for the sake of isinstance
        return ValidationFailed(f"the body is not a valid {_name(wanted)}: {_pydantic_text(error, wanted)}")
    if isinstance(error, msgspec.MsgspecError):
        return ValidationFailed(f"the body is not a valid {_name(wanted)}: {_msgspec_text(str(error))}")
    return ValidationFailed(f"the body is not a valid {_name(wanted)}: its validation raised {type(error).__name__}")


def _malformed(body: bytes, kind: str) -> str | None:
    """Why these bytes are not of their kind at all; None when they are. Asked only after a failure."""
    decode = {JSON: _any_json.decode, MSGPACK: _any_msgpack.decode}.get(kind)
    if decode is None:
        return None
    try:
        decode(body)
    except UnicodeDecodeError:
        return "invalid UTF-8"
    except RecursionError:
        return "nested too deeply"
    except msgspec.MsgspecError as error:
        return str(error) if _SAFE.fullmatch(str(error)) else "malformed"
    return None


def _msgspec_text(text: str) -> str:
    path = _PATH.search(text)
    head = text[: path.start()] if path else text
    if not _SAFE.fullmatch(head):
        head = next((cut for cut in _CUT if head.startswith(cut)), "a check of the type refused it")
    return f"{head} at {path[1]}" if path else head


def _pydantic_text(error: Any, wanted: Any) -> str:
    """Kinds and places of the first errors. Names in a place are shown only if the model itself has them."""
    known = _field_names(wanted)
    rows = error.errors(include_input=False, include_url=False, include_context=False)
    shown = [f"{row['type']} at ${''.join(_step(step, known) for step in row['loc'])}" for row in rows[:3]]
    return "; ".join(shown) + (f"; and {len(rows) - 3} more" if len(rows) > 3 else "")


def _step(step: int | str, known: frozenset[str]) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    return f".{step}" if step in known else "[…]"


def _field_names(wanted: Any) -> frozenset[str]:
    from pydantic import PydanticUserError, TypeAdapter

    found: set[str] = set()

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            found.update(node.get("properties", ()))
            for part in node.values():
                walk(part)
        elif isinstance(node, list):
            for part in node:
                walk(part)

    try:
        walk(TypeAdapter(wanted).json_schema())
    except PydanticUserError:  # a type without a JSON schema still validates; its places stay unnamed
        return frozenset()
    return frozenset(found)


_ANY = _msgspec_decoder(Any)
