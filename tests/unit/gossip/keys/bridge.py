# SPDX-License-Identifier: Apache-2.0
"""A rotation on a layer without a network: what ``rotation_run`` does on a cluster, under a clock of the tests' own."""

from __future__ import annotations

from holdfast.errors import ConfigurationError
from holdfast.gossip.keys.rotation_queries import Reader
from holdfast.gossip.keys.rotation_record import Ask, Keep, Members, Said
from holdfast.gossip.serf import effects as serf
from holdfast.gossip.serf.key_queries import step_of
from holdfast.gossip.serf.messages import Status


def members_of(membership):
    """Whom a rotation waits for: who is alive. Who says that it leaves is not waited for."""
    by = {status: frozenset(one.node for one in membership.members.values() if one.status == status)
          for status in (Status.ALIVE, Status.FAILED)}
    return Members(by[Status.ALIVE], by[Status.FAILED])


class Bridge:
    """One member's rotation on its layer.

    address: where answers come in. keep: puts the ledger on disk before it returns; OSError holds the rotation up until
    it can be kept.
    """

    def __init__(self, rotation, layer, address, keep):
        self.rotation = rotation
        #: What could not be kept, and why.
        self.unkept = None
        self._layer, self._address, self._keep = layer, address, keep
        self._open = None
        self._reader = Reader()

    def handle(self, event, now, chance):
        """What the rotation says of an event, and what its queries want done."""
        said, out = [], []
        for effect in self.rotation.handle(event, now, chance):
            if isinstance(effect, Said):
                said.append(effect)
            elif isinstance(effect, Keep):
                self._put(effect.ledger)
            elif isinstance(effect, Ask):
                out += self._ask(effect, now)
        return said, out

    def heard(self, effect, now, chance):
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

    def _put(self, ledger):
        try:
            self._keep(ledger)
        except OSError as error:
            self.unkept = ledger, error
        else:
            self.unkept = None

    def _ask(self, ask, now):
        if self.unkept is not None:
            self._put(self.unkept[0])
        if self.unkept is not None:  # as ``rotation_run`` does
            return []
        try:
            self._open, effects = self._layer.change_keys(ask.step, ask.key, self._address, now)
        except ConfigurationError:  # too many queries are open; the rotation asks again when it hears nothing
            return []
        return effects
