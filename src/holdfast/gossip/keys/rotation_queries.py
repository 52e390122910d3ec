# SPDX-License-Identifier: Apache-2.0
"""A rotation's effects as queries of Serf's layer, and the answers as its events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from ..._base.chance import Chance
from ..._base.clock import Instant
from ...errors import BadPacket, ConfigurationError
from ..serf import effects as serf
from ..serf.key_queries import step_of
from ..serf.layer import Layer
from ..serf.members import Membership
from ..serf.messages import KeyResponse, Status
from ..serf.queries import Asked
from ..wire import serf as wire
from .key import Key
from .rotation import Rotation
from .rotation_record import Answer, Ask, Ended, Event, Keep, Ledger, Members, Said, Step

#: Keys that are kept read: everybody answers with the same few.
_READ_MAX: Final = 1024


def members_of(membership: Membership) -> Members:
    """Whom a rotation waits for: who is alive. Who says that it leaves is not waited for."""
    by = {status: frozenset(one.node for one in membership.members.values() if one.status == status)
          for status in (Status.ALIVE, Status.FAILED)}
    return Members(by[Status.ALIVE], by[Status.FAILED])


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


class Bridge:
    """One member's rotation on its layer.

    address: where answers come in. keep: puts the ledger on disk before it returns; OSError holds the rotation up until
    it can be kept. relay_factor: of its queries, see ``Layer.query``; answers are repeated anyway, by asking again.
    """

    def __init__(self, rotation: Rotation, layer: Layer, address: tuple[bytes, int], keep: Callable[[Ledger], None], *,
                 relay_factor: int = 0) -> None:
        self.rotation = rotation
        #: What could not be kept, and why.
        self.unkept: tuple[Ledger, OSError] | None = None
        self._layer, self._address, self._keep, self._relay_factor = layer, address, keep, relay_factor
        self._open: Asked | None = None
        self._reader = Reader()

    def handle(self, event: Event, now: Instant, chance: Chance) -> tuple[list[Said], list[serf.Effect]]:
        """What the rotation says of an event, and what its queries want done."""
        said: list[Said] = []
        out: list[serf.Effect] = []
        for effect in self.rotation.handle(event, now, chance):
            if isinstance(effect, Said):
                said.append(effect)
            elif isinstance(effect, Keep):
                self._put(effect.ledger)
            elif isinstance(effect, Ask):
                out += self._ask(effect, now)
        return said, out

    def heard(self, effect: serf.Effect, now: Instant, chance: Chance) -> tuple[list[Said], list[serf.Effect]]:
        """The same, of what the layer said: whether a query of the rotation's is over. Others are not touched."""
        asked = self._open
        if asked is None or not isinstance(effect, serf.Answered | serf.Ended) or effect.asked is not asked:
            return [], []
        if isinstance(effect, serf.Answered):
            if not self.rotation.live <= asked.answers.keys():
                return [], []
            self._layer.asked.close(asked)  # nobody is waited for any more
        self._open = None
        step = step_of(asked.query.name)
        if step is None:
            return [], []
        return self.handle(self._reader.ended(step, asked.answers), now, chance)

    def _put(self, ledger: Ledger) -> None:
        try:
            self._keep(ledger)
        except OSError as error:
            self.unkept = ledger, error
        else:
            self.unkept = None

    def _ask(self, ask: Ask, now: Instant) -> list[serf.Effect]:
        if self.unkept is not None:
            self._put(self.unkept[0])
        if self.unkept is not None:  # guard: kept first. A step that a crash would forget is not taken
            return []
        try:
            self._open, effects = self._layer.change_keys(ask.step, ask.key, self._address, now,
                                                          relay_factor=self._relay_factor)
        except ConfigurationError:  # too many queries are open; the rotation asks again when it hears nothing
            return []
        return effects
