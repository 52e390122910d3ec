# SPDX-License-Identifier: Apache-2.0
"""Changing keys in the whole cluster by queries, and answering those queries.

Serf's way: ``_serf_install-key`` and its siblings carry a raw key, encrypted under the keys that are in use; answers to
``_serf_list-keys`` carry all keys. So whoever holds the old key learns the new one: it changes keys, and expels nobody.
Members have to answer, or ``serf keys`` fails for everybody; ``refuse`` is for clusters that change keys another way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

import msgspec

from ...errors import BadPacket, HoldfastError
from ..keys import Key, Keyring
from ..wire import serf as wire
from .messages import INTERNAL, KeyRequest, KeyResponse, QueryResponse

Step: TypeAlias = Literal["install-key", "use-key", "remove-key", "list-keys"]
STEPS: Final[tuple[Step, ...]] = ("install-key", "use-key", "remove-key", "list-keys")


def query_name(step: Step) -> str:
    """What the query is called."""
    return INTERNAL + step


def step_of(name: str) -> Step | None:
    """Which step a query asks for; None: it is not about keys."""
    step = name.removeprefix(INTERNAL)
    return next((known for known in STEPS if known == step), None) if name.startswith(INTERNAL) else None


class KeyDesk:
    """Answers queries about keys.

    keyring: None: nothing is encrypted here. refuse: why none of them is done here; empty: they are.
    """

    def __init__(self, keyring: Keyring | None, *, refuse: str = "") -> None:
        self._keyring = keyring
        self.refuse: Final = refuse

    def answer(self, step: Step, payload: bytes) -> KeyResponse:
        """What was done. What fails, a full disk too, is said in the answer and has changed nothing."""
        if self.refuse:  # guard: raw keys. A native cluster never shows one
            return KeyResponse(False, self.refuse)
        if self._keyring is None:
            return KeyResponse(False, "No keyring to modify (encryption not enabled)")
        try:
            if step == "list-keys":
                return KeyResponse(True, "", tuple(key.text for key in self._keyring.keys), self._keyring.primary.text)
            self._done(self._keyring, step, payload)
        except (HoldfastError, OSError) as error:
            return KeyResponse(False, str(error))
        return KeyResponse(True)

    @staticmethod
    def _done(keyring: Keyring, step: Step, payload: bytes) -> None:
        request = wire.decode(payload)
        if not isinstance(request, KeyRequest):
            raise BadPacket("a query about keys that carries none")
        key = Key(request.key or b"")
        {"install-key": keyring.install, "use-key": keyring.use, "remove-key": keyring.remove}[step](key)


def fitted(response: KeyResponse, around: QueryResponse, most: int) -> bytes:
    """The answer's payload, with as many keys as fit into ``most`` bytes of the whole response; it says if some do not.

    around: the response that will carry it.
    """
    keys = response.keys or ()
    shown = response
    for count in range(len(keys), -1, -1):
        if count < len(keys):
            said = f"truncated key list response, showing first {count} of {len(keys)} keys"
            shown = msgspec.structs.replace(response, keys=keys[:count], message=said)
        payload = wire.encode(shown)
        if len(wire.encode(msgspec.structs.replace(around, payload=payload))) <= most:
            return payload
    return wire.encode(KeyResponse(response.result, response.message[:most // 2]))


@dataclass(slots=True)
class KeyTally:
    """What a cluster answered. members: how many were asked. nodes: who answered.

    keys, primaries: by Base64, how many hold them; not shown when it is printed.
    """

    members: int
    answered: int = 0
    failed: int = 0
    messages: dict[str, str] = field(default_factory=dict)
    keys: Counter[str] = field(default_factory=Counter, repr=False)
    primaries: Counter[str] = field(default_factory=Counter, repr=False)
    nodes: set[str] = field(default_factory=set)

    @property
    def complete(self) -> bool:
        """Did everybody do it? Only then may the next step begin."""
        return self.answered >= self.members and not self.failed  # guard: steps. Not before everybody is through

    def missing(self, nodes: Iterable[str]) -> set[str]:
        """Who of ``nodes`` did not answer."""
        return set(nodes) - self.nodes

    def count(self, node: str, payload: bytes) -> None:
        """One member's answer."""
        self.answered += 1
        self.nodes.add(node)
        try:
            response = wire.decode(payload)
        except BadPacket as error:
            response, why = None, str(error)
        else:
            why = "not an answer about keys"
        if not isinstance(response, KeyResponse):
            self.failed += 1
            self.messages[node] = why
            return
        self.failed += not response.result
        if response.message or not response.result:
            self.messages[node] = response.message
        self.keys.update(set(response.keys or ()))
        if response.primary_key:
            self.primaries[response.primary_key] += 1
