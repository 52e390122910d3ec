# SPDX-License-Identifier: Apache-2.0
"""Words that formats share: kinds, failures, no parent. Pure."""

from __future__ import annotations

from ..span import Kind
from .bad import Refused

#: No parent, whatever the writer put there.
NOBODY = frozenset({"", "root", "null", "none", "-", "0", "0" * 16})
#: By name, or by OTLP's number.
KINDS: dict[str, Kind] = {
    "": "", "unspecified": "", "internal": "internal", "server": "server", "client": "client", "producer": "producer",
    "consumer": "consumer", "0": "", "1": "internal", "2": "server", "3": "client", "4": "producer", "5": "consumer"}
FAILED = frozenset({"1", "true", "error", "2", "yes", "failed"})
FINE = frozenset({"", "0", "false", "ok", "unset", "no", "success"})


def small(text: str) -> str:
    """An id in small letters. One that is not ASCII stays as it is: nobody's hex, and no two engines agree about it."""
    return text.lower() if text.isascii() else text


def parent(text: str) -> str:
    """A parent's id; nothing where the text says that there is none."""
    found = small(text)
    return "" if found in NOBODY else found


def kind(text: str) -> Kind:
    """``SPAN_KIND_SERVER``, ``SpanKind.SERVER``, ``server``, ``2``. Raises Refused."""
    said = text.lower().removeprefix("spankind.").removeprefix("span_kind_")
    if said not in KINDS:
        raise Refused("wrong type: kind")
    return KINDS[said]


def has_failed(text: str, name: str) -> bool:
    """``STATUS_CODE_ERROR``, ``error``, ``true``, ``2``. Raises Refused."""
    said = text.lower().removeprefix("statuscode.").removeprefix("status_code_")
    if said in FAILED:
        return True
    if said not in FINE:
        raise Refused(f"wrong type: {name}")
    return False
