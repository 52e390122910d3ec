# SPDX-License-Identifier: Apache-2.0
"""What the relays' tests share: neighbours, and what a list of effects says, short enough to be compared."""

from __future__ import annotations

import random

from holdfast.propagation.relay.words import Check, Checked, Heard, Made, Message, Peer, Tell, Wake


def neighbours(outbound: int, inbound: int = 0) -> list[Peer]:
    """Peers 1, 2, …: the outbound ones first."""
    return [Peer(number + 1, number < outbound) for number in range(outbound + inbound)]


def said(effects):
    """(peer, kind, transactions) of what is told."""
    return [(one.peer, one.message.kind, one.message.txs) for one in effects if isinstance(one, Tell)]


def wakes(effects):
    """(seconds, key) of the timers."""
    return [(one.at_s, one.key) for one in effects if isinstance(one, Wake)]


def body(tx=7, *, size=300, hops=1):
    """A body as it comes."""
    return Message("body", (tx,), size, hops)


def got(relay, tx=7, *, sender=None, size=300, now=0.0, seed=1, good=True):
    """It comes (or is made here), is checked and found good; gives what follows the check."""
    chance = random.Random(seed)
    event = Made(tx, size) if sender is None else Heard(sender, body(tx, size=size))
    before = relay.handle(event, now, chance)
    assert Check(tx) in before
    return relay.handle(Checked(tx, good), now, chance)
