# SPDX-License-Identifier: Apache-2.0
"""Two formats in which everything has a place: CloudEvents 1.0, and one JSON field for readers that want few."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from ..letter import BY_NAME
from ..typed import from_json
from .form import Form, text_of


class CloudEvent(Form):
    """Attributes where CloudEvents has one, else extensions named ``dlq`` and our name, no hyphens."""

    says = "CloudEvents 1.0, attributes and extensions `dlq…`; the event says that a message was buried"
    TYPE: Final = "holdfast.letter.buried.v1"
    NAMES: Final = {"id": "letter-id", "source": "original-topic", "time": "burial-timestamp",
                    "subject": "original-message-id", "datacontenttype": "original-content-type",
                    "partitionkey": "original-key"}
    _FIXED: Final = {"specversion": "1.0", "type": TYPE}

    def __init__(self) -> None:
        taken = set(self.NAMES.values())
        self._ours = self.NAMES | {"dlq" + name.replace("-", ""): name for name in BY_NAME if name not in taken}
        self._theirs = {ours: theirs for theirs, ours in self._ours.items()}

    def write(self, metadata: Mapping[str, str]) -> dict[str, Any]:
        """Every field of the specification."""
        return {**self._FIXED, **{self._theirs[name]: value for name, value in metadata.items()
                                  if value and name in self._theirs}}

    def read(self, headers: Mapping[str, Any]) -> dict[str, str]:
        """What ``write`` wrote."""
        return {self._ours[name]: text_of(value) for name, value in headers.items()
                if name in self._ours and value is not None}


class OneField(Form):
    """A stream has no headers: all metadata as JSON in one field."""

    says = "Redis stream, one field `x-dlq` that holds all metadata as a JSON object (flat fields are our own form)"
    NAME: Final = "x-dlq"

    def write(self, metadata: Mapping[str, str]) -> dict[str, Any]:
        """All of it."""
        return {self.NAME: msgspec.json.encode(dict(metadata))}

    def read(self, headers: Mapping[str, Any]) -> dict[str, str]:
        """All of it; nothing of a field that is not an object of texts."""
        return _object(headers.get(self.NAME))

    def alike(self, name: str, given: Any, again: Any) -> bool:
        """The order of an object's members does not matter."""
        return super().alike(name, given, again) or (name == self.NAME and _object(given) == _object(again) != {})


def _object(value: Any) -> dict[str, str]:
    try:
        return from_json(value, dict[str, str])
    except (msgspec.DecodeError, ValueError, TypeError, RecursionError):
        return {}
