# SPDX-License-Identifier: Apache-2.0
"""Real nodes: the same relays and the same mempool as in the simulator, over TCP, with identities and signatures.

::

    from holdfast.propagation.node import Node, Settings

    node = Node(Settings(calls=(("10.0.0.7", 7070),)), identity, Trickle, accounts)
    await node.start()
    node.submit(pay(key, "main", to=whom, nonce=0, amount=10, fee=300))

Inside::

    carrying.py    decisions of relay, mempool and chain, carried out. Open this first
    greeting.py    who is at the other end            channel.py   frames that nobody else can make
    frames.py      words as bytes                     money.py     transactions as bytes, signed; seals of blocks
    link.py        a connection                       node.py      listens, calls, looks after time
    neighbours.py  links and addresses, by ``peers``  writing.py   the journal as a file
    telling.py     how it stands, as an event
    fleet.py       many nodes, a process each: told by orders.py, forked by worker.py
"""

from __future__ import annotations

from .money import pay
from .node import Inspection, Node
from .settings import Links, Settings
from .writing import Journal

__all__ = ["Inspection", "Journal", "Links", "Node", "Settings", "pay"]
