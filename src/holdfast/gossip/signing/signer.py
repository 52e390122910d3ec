# SPDX-License-Identifier: Apache-2.0
"""Signs what this node says.

Each start draws an epoch; within it numbers only grow. Times are the caller's clock's, also when it was set back: a
clock that was a day ahead would else keep this node's messages in the future for a day. A copy of the running process
(a fork, a restored machine) has the same epoch and goes on with the same numbers: of two messages with one number
others take one. Give each copy a signer of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from ..._base.clock import WallMs
from ...errors import ConfigurationError
from .algorithms import PrivateKey
from .envelope import Envelope, Kind, encode, signed_part


class Signer:
    """key: its own. chance: gives so many random bytes; ``os.urandom``. node_id: of the node that speaks, where ``key``
    is a further key of it; None: the key's own id. Raises ConfigurationError when the cluster's name has no room."""

    __slots__ = ("_key", "cluster", "epoch", "key_id", "node_id", "sequence", "signed")

    def __init__(self, key: PrivateKey, cluster: str, chance: Callable[[int], bytes], *,
                 node_id: bytes | None = None) -> None:
        self._key = key
        self.cluster: Final = cluster
        self.node_id: Final = key.public.id if node_id is None else node_id
        self.key_id: Final = key.public.id
        self.epoch: Final = int.from_bytes(chance(8), "big")
        #: Of the last message.
        self.sequence = 0
        self.signed = 0

    def sign(self, kind: Kind, topic: str, payload: bytes, now: WallMs, *, embed: bool = False) -> bytes:
        """The envelope, ready to send. embed: the public key travels along, for those who do not know it yet.

        Raises ConfigurationError for what has no room in one, and for a further key that is to travel along.
        """
        public = self._key.public
        if embed and public.id != self.node_id:
            raise ConfigurationError("a further key of a node cannot travel along: only the first one proves its id")
        envelope = Envelope(kind, public.algorithm, self.cluster, topic, self.node_id, public.id, self.epoch,
                            self.sequence + 1, now, public.data if embed else b"", payload, b"")
        message = signed_part(envelope)
        self.sequence += 1
        self.signed += 1
        return encode(msgspec.structs.replace(envelope, signature=self._key.sign(message)))

    def vouch(self, data: bytes) -> bytes:
        """A bare signature, for what is no message: begin the data with what it is for, as ``defence`` does."""
        self.signed += 1
        return self._key.sign(data)

    def announce(self, proof: bytes, now: WallMs) -> bytes:
        """Shows this node's key, with what proves that it may enter: a certificate. The answer to ``AskForKey``."""
        return self.sign(Kind.KEY, "", proof, now, embed=True)
