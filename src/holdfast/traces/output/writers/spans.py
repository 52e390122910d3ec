# SPDX-License-Identifier: Apache-2.0
"""Our own flat form: a span a line, a JSON object by the names of ``Span``. It loses nothing. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from ...span import Span
from .form import Form, attributes_of

_encoder = msgspec.json.Encoder()


def _one(_: str, spans: list[Span]) -> bytes:
    return b"".join(_encoder.encode(record(span)) + b"\n" for span in spans)


def record(span: Span) -> dict[str, Any]:
    """A span by its fields' names. Attributes are an object, and left out where there are none."""
    written = msgspec.structs.asdict(span)
    if attributes := attributes_of(span):
        written["attributes"] = attributes
    else:
        del written["attributes"]
    return written


FORM = Form("spans", b"", b"", b"", _one, lambda _: ())
