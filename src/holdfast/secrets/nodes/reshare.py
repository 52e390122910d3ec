# SPDX-License-Identifier: Apache-2.0
"""Another circle: other nodes, another k, other callers. Nobody rebuilds a secret on the way.

::

    adopt     old nodes write nothing more, and know the new circle          reads: old
    copy      each secret: k old nodes deal their shares to the new ones     reads: old
    retire    old nodes forget their shares and point to the new circle      reads: old or new, the same values
    activate  new nodes take writes                                          reads: new

Who is killed in between, or finds too few nodes, runs it again with the same circle: each step may be done twice. Until
``retire`` has begun it can be abandoned. ``adopt`` takes so many old nodes that nothing is prepared or written behind
its back; ``retire`` takes n − k + 1, so that no k old nodes are left that would answer.

New nodes are made with the new circle and take no writes (``Standing(circle, writes=False)``). A node that was down
meanwhile is brought along by running it again.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from ..._base.points import reached
from ...errors import ConfigurationError, SecretRefused
from .asking import Asking, Moved
from .circle import RESHARE, Circle
from .keys import Identity
from .registers import Registers, completed, counted
from .store import redealt
from .words import CIRCLE, Abandon, Activate, Adopt, Named, Names, Reply, Retire, unpack


def signed(new: Circle, caller: str, identity: Identity) -> Circle:
    """A circle in the name of who makes it: the same each time, for it to be resumed."""
    bare = msgspec.structs.replace(new.checked(), signed_by=caller, signature=b"")
    return msgspec.structs.replace(bare, signature=identity.sign(CIRCLE, bare.bare()))


class Reshare:
    """From the circle that ``asking`` knows to a new one that the same caller signed. Raises ConfigurationError for one
    that does not follow."""

    def __init__(self, asking: Asking, new: Circle) -> None:
        self._asking, self._old, self._new = asking, asking.circle, new.checked()
        if new.id != self._old.id or new.epoch != self._old.epoch + 1:
            raise ConfigurationError(f"the next circle has the same id and epoch {self._old.epoch + 1}")
        if not new.may(asking.caller, RESHARE, ""):
            raise ConfigurationError(f"{asking.caller} copies into the new circle: let it reshare there too")
        self._registers = Registers(asking)

    def run(self) -> tuple[str, ...]:
        """The names that were re-shared; none where an earlier run had copied them. Raises QuorumLost and the like: the
        old circle is in force then, or the new one, and running it again goes on."""
        try:
            self._adopt()
            names = self._names()
            for name in names:
                reached("secrets.shares.copy.before")
                self._copy(name)
        except Moved:
            if self._asking.circle != self._new:
                raise SecretRefused("the nodes have moved to another circle than this one: take the newest") from None
            names = ()
        self._retire()
        return names

    def abandon(self) -> None:
        """The old circle takes writes again. Raises SecretRefused when ``retire`` has begun."""
        try:
            self._names()
        except Moved:
            raise SecretRefused("some nodes have forgotten the old shares already: run the re-share again") from None
        self._counted(self._asking.all(Abandon(), circle=self._old), self._old.frozen, self._old, "abandoning")

    def _adopt(self) -> None:
        self._counted(self._asking.all(Adopt(self._new), circle=self._old), self._old.frozen, self._old, "a re-share")
        self._counted(self._asking.all(Adopt(self._new), circle=self._new), self._new.write, self._new, "a re-share")

    def _names(self) -> tuple[str, ...]:
        replies = self._asking.all(Names(), circle=self._old)
        self._counted(replies, self._old.k, self._old, "the list of names")
        return tuple(sorted({one.name for reply in replies.values() if not reply.error
                             for one in unpack(reply.body, list[Named])}))

    def _copy(self, name: str) -> None:
        top = completed(self._asking, name, self._old)
        if top is None:
            return
        record = redealt(self._asking, top.record, self._new, self._old) if any(
            entry.deals for entry in top.record.entries) else top.record
        self._registers.change(name, lambda _: record, self._new)

    def _retire(self) -> None:
        replies = self._asking.all(Retire(self._new), circle=self._old)
        self._counted(replies, self._old.write, self._old, "a re-share")
        self._asking.circle = self._new
        replies = self._asking.all(Retire(self._new), circle=self._new)
        self._counted(replies, self._new.write, self._new, "a re-share")
        self._counted(self._asking.all(Activate()), self._new.write, self._new, "a re-share")

    @staticmethod
    def _counted(replies: Mapping[str, Reply], wanted: int, circle: Circle, what: str) -> None:
        if sum(not reply.error for reply in replies.values()) < wanted:
            raise counted(replies, wanted, circle, what)
