# SPDX-License-Identifier: Apache-2.0
"""Which nodes hold shares, how many of them it takes, and who may ask them for what.

Quorums. A record is promised by ``prepare`` nodes before it is written, is written when ``write`` nodes have it, and is
read from ``read`` nodes::

    read = prepare = k        write = n − k + 1        k + (n − k + 1) = n + 1 > n

so each read, and each preparation of a write, meets a node that has the last write that was acknowledged: two sets of
more than n nodes in sum have one in common. One is enough, because a record is whole on each node: ciphertext, labels,
commitments, and each node's share in an envelope that only it opens. Two writes need not meet (Howard, Malkhi and
Spiegelman, Flexible Paxos, 2016): the preparation of the second meets the first. With n − k nodes gone, reads go on; so
do writes while n − k + 1 are there: 3 of 5 at k = 3; with 2 of 5, at k = 2, reads go on and writes do not.
"""

from __future__ import annotations

from typing import Final

import msgspec

from ...errors import ConfigurationError, SecretDenied
from ..names import below

#: What callers may be allowed. RESHARE: to change the circle; AUDIT: to see ledgers.
READ: Final = "read"
LIST: Final = "list"
WRITE: Final = "write"
DESTROY: Final = "destroy"
RESHARE: Final = "reshare"
AUDIT: Final = "audit"
ACTIONS: Final = (READ, LIST, WRITE, DESTROY, RESHARE, AUDIT)


class Holder(msgspec.Struct, frozen=True):
    """A node as others know it. index: of its shares, 1 to 255. address: host:port. box_key, sign_key: public."""

    index: int
    name: str
    address: str
    box_key: bytes
    sign_key: bytes


class Caller(msgspec.Struct, frozen=True):
    """Who may ask. may: of ``ACTIONS``. under: prefixes of names; an empty one is all of them."""

    name: str
    sign_key: bytes
    may: tuple[str, ...]
    under: tuple[str, ...] = ("",)


class Circle(msgspec.Struct, frozen=True):
    """Everything that is public about a set of nodes. epoch: from 1, one more with each re-share to other nodes.
    signed_by, signature: who in the circle before made this one; empty for the first, which is trusted as it was
    handed out."""

    id: bytes
    epoch: int
    k: int
    holders: tuple[Holder, ...]
    callers: tuple[Caller, ...]
    signed_by: str = ""
    signature: bytes = b""

    @property
    def n(self) -> int:
        """How many nodes there are."""
        return len(self.holders)

    @property
    def write(self) -> int:
        """How many nodes have a record when it counts as written."""
        return self.n - self.k + 1  # guard: quorums meet

    @property
    def frozen(self) -> int:
        """With so many nodes that refuse, nothing is prepared or written any more."""
        return max(self.k, self.write)

    def bare(self) -> bytes:
        """What is signed."""
        return msgspec.msgpack.encode(msgspec.structs.replace(self, signature=b""))

    def checked(self) -> Circle:
        """The circle itself. Raises ConfigurationError for one that cannot be."""
        indices = [holder.index for holder in self.holders]
        if not 1 <= self.k <= self.n <= 255:
            raise ConfigurationError(f"{self.k} of {self.n} nodes cannot be: let k be 1 to {self.n}")
        if len(set(indices)) != self.n or not all(1 <= index <= 255 for index in indices):
            raise ConfigurationError("nodes have indices from 1 to 255, each once")
        for names in ([h.name for h in self.holders], [c.name for c in self.callers]):
            if len(set(names)) != len(names):
                raise ConfigurationError("two nodes, or two callers, of a circle have the same name")
        wrong = {action for caller in self.callers for action in caller.may} - set(ACTIONS)
        if wrong:
            raise ConfigurationError(f"callers may {', '.join(ACTIONS)}, and nobody knows {', '.join(sorted(wrong))}")
        return self

    def holder(self, name: str) -> Holder | None:
        """By its name."""
        return next((holder for holder in self.holders if holder.name == name), None)

    def caller(self, name: str) -> Caller:
        """By its name. Raises SecretDenied."""
        for caller in self.callers:
            if caller.name == name:
                return caller
        raise SecretDenied(f"nobody called {ascii(name)[:80]} may ask these nodes")

    def may(self, caller: str, action: str, name: str) -> bool:
        """Is it allowed?"""
        found = next((one for one in self.callers if one.name == caller), None)
        return found is not None and action in found.may and any(below(name, prefix) for prefix in found.under)
