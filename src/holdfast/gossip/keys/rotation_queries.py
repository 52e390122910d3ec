# SPDX-License-Identifier: Apache-2.0
"""What members answer to the steps of a rotation, read from the queries of Serf's layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ...errors import BadPacket, ConfigurationError
from ..serf.messages import KeyResponse
from ..wire import serf as wire
from .key import Key
from .rotation_record import Answer, Ended, Step

#: Keys that are kept read: everybody answers with the same few.
_READ_MAX: Final = 1024


class Reader:
    """Reads what members answer to a step. Everybody answers with the same few keys, so those are read once."""

    def __init__(self) -> None:
        self._read: dict[str, Key] = {}

    def ended(self, step: Step, answers: Mapping[str, bytes]) -> Ended:
        """The end of a step, from each member's answer as it came."""
        return Ended(step, {node: self._answer(raw) for node, raw in answers.items()})

    def _answer(self, raw: bytes) -> Answer:
        try:
            response = wire.decode(raw)
            if not isinstance(response, KeyResponse):
                return Answer(False, "not an answer about keys")
            keys = tuple(dict.fromkeys(map(self._key, filter(None, (response.primary_key, *(response.keys or ()))))))
        except (BadPacket, ConfigurationError) as error:
            return Answer(False, str(error))
        return Answer(response.result, response.message, keys)

    def _key(self, text: str) -> Key:
        if text not in self._read:
            if len(self._read) >= _READ_MAX:
                self._read.clear()
            self._read[text] = Key.from_text(text)
        return self._read[text]
