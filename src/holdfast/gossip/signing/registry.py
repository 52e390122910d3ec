# SPDX-License-Identifier: Apache-2.0
"""Whose key is whose: key id ↔ node id ↔ name.

A node's id is the hash of its first public key, so nobody can claim the id of another. A name is only a word: it is
bound to a node by whoever admits it (a certificate, an invitation, a list), and one name has one node at a time.
A key that merely travels along proves nothing; it proves an id, and that only to who was told that this id may enter.

A revoked key stays known, or its messages would be put aside as those of a stranger.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

import msgspec

from ..._base.clock import WallMs
from ...errors import NotTrusted
from .algorithms import Algorithm, PublicKey

KEYS_MAX: Final = 16_384
ALWAYS: Final = WallMs(0)

#: (node id, its public key, what it shows as proof, now) → the name it may bear; None: it may not enter.
Admission: TypeAlias = Callable[[bytes, PublicKey, bytes, WallMs], str | None]


class Binding(msgspec.Struct, frozen=True):
    """A key, the node that signs with it, and that node's name.

    revoked_ms: messages from this time on are refused; None: it is good.
    """

    public: PublicKey
    node_id: bytes
    name: str
    revoked_ms: WallMs | None = None


class Registry:
    """algorithms: the only ones whose keys are taken. Default Ed25519 alone; price of each more: one more that must not
    break. keys_max: price of more: some 500 bytes each, 2 kB of RSA."""

    __slots__ = ("_by_id", "_by_name", "_keys_max", "_node_keys", "algorithms")

    def __init__(self, algorithms: Iterable[Algorithm] = (Algorithm.ED25519,), *, keys_max: int = KEYS_MAX) -> None:
        self.algorithms = frozenset(algorithms)
        self._keys_max = keys_max
        self._by_id: dict[bytes, Binding] = {}
        self._by_name: dict[str, bytes] = {}
        self._node_keys: dict[bytes, list[bytes]] = {}

    def bind(self, public: PublicKey, name: str, *, node_id: bytes | None = None) -> Binding:
        """Knows this key from now on. Again the same: nothing changes.

        node_id: of the node whose further key this is; it has to be known already. None: the key's own id.
        Raises NotTrusted for an algorithm that is not taken, a name or a key that another node has, a revoked key, and
        when no more fit in.
        """
        node_id = public.id if node_id is None else node_id
        known = self._by_id.get(public.id)
        if known is not None:
            if known.revoked_ms is not None or (known.node_id, known.name) != (node_id, name):
                raise NotTrusted(f"key {public.id.hex()[:16]} is bound to {known.name!r} already, or was revoked",
                                 why="identity" if known.revoked_ms is None else "revoked")
            return known
        if public.algorithm not in self.algorithms:
            raise NotTrusted(f"keys of {public.algorithm.name} are not taken here: put it on the list of algorithms",
                             why="identity")
        bearer = self._by_name.get(name, node_id)
        if bearer != node_id and not self._over(bearer):  # guard: a name is one node's
            raise NotTrusted(f"the name {name!r} is another node's: revoke that one's keys first", why="identity")
        if node_id != public.id and self.name_of(node_id) != name:
            raise NotTrusted(f"a further key is for a node that is known by the same name, and {name!r} is not that",
                             why="identity")
        if len(self._by_id) >= self._keys_max:
            raise NotTrusted(f"{self._keys_max} keys are known, the most there may be: forget those of nodes long gone",
                             why="exhausted")
        self._by_id[public.id] = binding = Binding(public, node_id, name)
        self._by_name[name] = node_id
        self._node_keys.setdefault(node_id, []).append(public.id)
        return binding

    def find(self, key_id: bytes) -> Binding | None:
        """Whose key this is; None: nobody's who is known."""
        return self._by_id.get(key_id)

    def name_of(self, node_id: bytes) -> str | None:
        """The name under which a node was bound, which another may have taken over since; None: it is not known."""
        keys = self._node_keys.get(node_id)
        return self._by_id[keys[0]].name if keys else None

    def node_of(self, name: str) -> bytes | None:
        """The node that bears this name; None: nobody does."""
        return self._by_name.get(name)

    def revoke(self, key_id: bytes, since_ms: WallMs = ALWAYS) -> bool:
        """Refuses what this key signs. False: it is not known, or was revoked from no later on.

        since_ms: messages signed earlier are taken while they are young enough. Whoever stole the key can date its
        messages back, so the default refuses them all; the price is what was honestly signed and is still under way.
        When all keys of a node are revoked another node may take its name over.
        """
        known = self._by_id.get(key_id)
        if known is None or (known.revoked_ms is not None and known.revoked_ms <= since_ms):
            return False
        self._by_id[key_id] = msgspec.structs.replace(known, revoked_ms=since_ms)
        return True

    def forget(self, node_id: bytes) -> None:
        """Knows nothing of this node any more. Whoever admits decides whether it may come back: tell that one first of
        a revocation, since a forgotten key is a stranger's."""
        for key in self._node_keys.pop(node_id, ()):
            name = self._by_id.pop(key).name
            if self._by_name.get(name) == node_id:
                del self._by_name[name]

    def _over(self, node_id: bytes) -> bool:
        return all(self._by_id[key].revoked_ms is not None for key in self._node_keys[node_id])

    def __len__(self) -> int:
        return len(self._by_id)
