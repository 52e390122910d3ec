# SPDX-License-Identifier: Apache-2.0
"""What a format is: two functions, and the question whether a header came back as it was.

A format does not count its own losses. Whoever crosses a border writes, reads back, and compares (see ``crossing``):
what is not the same is lost, whatever the reason.
"""

from __future__ import annotations

import base64
from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from ..letter_text import readable

#: Nested tables and lists that are looked into; what lies deeper is compared as it is.
DEPTH_MAX: Final = 16


class Mapped(NamedTuple):
    """What came out at the other side.

    fields: headers of theirs, or metadata of ours by name without prefix. lost: names of what would not come back as
    it was. rest: when reading, the headers so named, each as it was given, in their order; none is ever dropped.
    """

    fields: dict[str, Any]
    lost: tuple[str, ...]
    rest: tuple[tuple[str, Any], ...] = ()


class Form(ABC):
    """One system's way of writing dead-letter metadata."""

    #: For people: which system, which headers, and what is odd about them.
    says: str = ""
    #: Headers of which the first counts when there are several of one name; of all others the last.
    firsts: frozenset[str] = frozenset()

    @abstractmethod
    def write(self, metadata: Mapping[str, str]) -> dict[str, Any]:
        """Our metadata as their headers, as far as they have a place for it. Raises nothing."""

    @abstractmethod
    def read(self, headers: Mapping[str, Any]) -> dict[str, str]:
        """Their headers as our metadata. What cannot be read is left out. Raises nothing."""

    def alike(self, name: str, given: Any, again: Any) -> bool:
        """Is ``again``, as ``write`` gives it, the header ``name`` as it was given? A number and its text are alike."""
        return plain(given) == plain(again) or (_scalar(given) and _scalar(again) and text_of(given) == text_of(again))


def _scalar(value: Any) -> bool:
    return isinstance(value, (str, int, bytes)) and not isinstance(value, bool)


def text_of(value: Any) -> str:
    """A header's value as text; bytes that are no UTF-8 stay recognisable."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return readable(bytes(value))
    try:
        return str(value)
    except ValueError:  # an integer of more digits than the interpreter is willing to write
        return hex(value)


def plain(value: Any, depth: int = DEPTH_MAX) -> Any:
    """A header's value as JSON holds it: bytes that are no UTF-8 as ``{"b64": …}``, times as ISO-8601 in UTC."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        raw = bytes(value)
        try:
            return raw.decode()
        except UnicodeDecodeError:
            return {"b64": base64.b64encode(raw).decode()}
    if isinstance(value, datetime):
        return aware(value).astimezone(UTC).isoformat().replace("+00:00", "Z")
    if depth and isinstance(value, Mapping):
        return {text_of(name): plain(part, depth - 1) for name, part in value.items()}
    if depth and isinstance(value, (list, tuple)):
        return [plain(part, depth - 1) for part in value]
    return value


def aware(moment: datetime) -> datetime:
    """A time without a zone is UTC: clients of RabbitMQ give those."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
