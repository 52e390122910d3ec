# SPDX-License-Identifier: Apache-2.0
"""How a simulated member turns messages into datagrams and back: in plain, as memberlist encrypts, or natively."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from ....errors import BadPacket, NotTrusted
from ...keys import Key, Keyring
from ...messages import Message
from ...trust.admission import Vouched
from ...trust.epochs import Announcement, Epoch, GroupKey
from ...trust.identity import Identity
from ...trust.packets import Opener, Sealer
from ...wire import Framing, encode, join
from ...wire.wrapping import unwrap
from .defences import Defences

CLUSTER: Final = b"lab"
Bytes = Callable[[int], bytes]


class Envelopes(Protocol):
    """One member's."""

    def wrap(self, messages: Sequence[Message]) -> list[bytes]:
        """The datagrams that carry them."""
        ...

    def unwrap(self, data: bytes) -> list[Message]:
        """What a datagram holds; nothing when it is refused."""
        ...


class Group:
    """What the members of one cluster share: a key of memberlist's kind, and an epoch of the native one."""

    def __init__(self, chance: Bytes) -> None:
        self.key: Final = chance(32)
        issuer = Identity.generate(chance)
        group = GroupKey.generate(chance)
        record = Announcement(1, chance(16), (), group.check, bytes(32), "first", 0)
        self.epoch: Final = Epoch(Vouched(issuer.sign(CLUSTER, record), None), record, group)

    def envelopes(self, defences: Defences, chance: Bytes) -> Envelopes:
        """Those of one process, from its start on."""
        if defences.windows:
            return _Native(self.epoch, chance)
        return _Compatible(Framing(keys=Keyring([Key(self.key)]) if defences.encryption else None), chance)


class _Compatible:
    """memberlist's."""

    def __init__(self, framing: Framing, chance: Bytes) -> None:
        self._framing, self._chance = framing, chance

    def wrap(self, messages: Sequence[Message]) -> list[bytes]:
        return self._framing.packets(messages, lambda: self._chance(12))

    def unwrap(self, data: bytes) -> list[Message]:
        try:
            return self._framing.messages(data).messages
        except BadPacket:
            return []


class _Native:
    """Sealed by each process under a key of its own."""

    def __init__(self, epoch: Epoch, chance: Bytes) -> None:
        self._epoch = epoch
        self._sealer = Sealer(CLUSTER, Identity.generate(chance).id, chance)
        self._opener = Opener(CLUSTER)

    def wrap(self, messages: Sequence[Message]) -> list[bytes]:
        return [self._sealer.seal(self._epoch, body) for body in join([encode(message) for message in messages])]

    def unwrap(self, data: bytes) -> list[Message]:
        try:
            return unwrap(self._opener.open([self._epoch], data).data).messages
        except (BadPacket, NotTrusted):
            return []
