# SPDX-License-Identifier: Apache-2.0
"""Results of guarded calls: JSON beside the record, and back.

A result that cannot be written leaves the record **done, without a result**, and is one clear error: to the first
caller, and to whoever repeats the call. The effect is in by then. Calling the attempt a failure would clear or abandon
its mark, and the next one would bring the effect about again, for the sake of an answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from ..._base.codec import encode
from ..._base.decoder import decoder_for
from ..._base.message import JSON
from ..._base.typed import json_decoder
from ...errors import EffectError, MessageError, PublishError

#: What is stored for a result that could not be written. No JSON text is empty.
UNWRITABLE = b""

_RAW = (bytes, bytearray, memoryview)

Reader = Callable[[bytes], Any]


def written(value: Any) -> bytes:
    """The value as JSON: whatever msgspec or Pydantic encodes; bytes as base64. Raises EffectError."""
    try:
        return msgspec.json.encode(value) if isinstance(value, _RAW) else encode(value, JSON)[0]
    except PublishError as error:
        raise EffectError(str(error)) from error


def reader_for(wanted: Any) -> Reader:
    """Reads results of the type ``wanted``. Raises ConfigurationError when no JSON can become one."""
    if wanted in (str, bytes):
        return json_decoder(wanted).decode
    decoder = decoder_for(wanted)
    return lambda stored: decoder.decode(stored, JSON)


def read(stored: bytes, reader: Reader, shown: str) -> Any:
    """A stored result; EffectError when there is none, or when it is not of the type that is asked for now."""
    if stored == UNWRITABLE:
        raise EffectError(f"{shown} was done before, but its result could not be stored: look up what it answered "
                          f"where the effect lies, and let the function return what JSON can hold")
    try:
        return reader(stored)
    except (MessageError, msgspec.MsgspecError) as error:
        raise EffectError(f"{shown} was done before, and its stored result is not of the type that is asked for now: "
                          f"let that type read what earlier versions returned ({error})") from error
