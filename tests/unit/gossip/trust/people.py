# SPDX-License-Identifier: Apache-2.0
"""A cluster's people, from a seed: issuers, members, epochs."""

from __future__ import annotations

import random

from holdfast.gossip.trust.admission import Anchor, Credential, Vouched, issue
from holdfast.gossip.trust.epochs import Activation, Announcement, Epoch, Epochs, GroupKey
from holdfast.gossip.trust.identity import Identity

CLUSTER = b"here"
NOW = 1_790_000_000_000
DAY = 86_400_000
NONE = bytes(32)


class Town:
    """One issuer and whom it vouches for. The same seed, the same people."""

    def __init__(self, seed=1, cluster=CLUSTER):
        self.entropy = random.Random(seed).randbytes
        self.cluster = cluster
        self.issuer = Identity.generate(self.entropy)
        self.anchor = Anchor(cluster, [self.issuer.signing])

    def certify(self, identity, name="someone", *roles, by=None, above=None, days=365, since=NOW, from_epoch=0):
        signed = issue(by or self.issuer, self.cluster, name, identity.signing, identity.sealing,
                       serial=self.entropy(16), not_before_ms=since, not_after_ms=since + days * DAY, roles=roles,
                       from_epoch=from_epoch)
        return Credential(signed, above)

    def citizen(self, name="someone", *roles, **more):
        identity = Identity.generate(self.entropy)
        return identity, self.certify(identity, name, *roles, **more)

    def announce(self, who, number=1, parents=(), *, key=None, reason="manual", covers=NONE):
        identity, credential = who
        key = key or GroupKey.generate(self.entropy)
        record = Announcement(number, self.entropy(16), tuple(parents), key.check, covers, reason, NOW)
        return Epoch(Vouched(identity.sign(self.cluster, record), credential), record, key, identity.id)

    def active(self, who, epoch):
        identity, credential = who
        return Vouched(identity.sign(self.cluster, Activation(epoch.hash, NOW)), credential)

    def hold(self, who, *epochs):
        """A book in which these are active, taken in this order."""
        book = Epochs()
        for one in epochs:
            book.install(one.said, one.record, one.key, one.author)
            book.activate(one.hash, self.active(who, one))
        return book
