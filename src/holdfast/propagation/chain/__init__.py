# SPDX-License-Identifier: Apache-2.0
"""Blocks as decisions: what is a good one, which chain counts, how blocks reach everybody; no socket, no clock.

::

    accounts = {b"anna": Account(1000, 0)}
    node = FullNode.built([Peer(1, outbound=True)], Flood, accounts, seal=may_make, verify=is_signed, look=bodies.get)
    for effect in node.begin(now, chance):
        carry_out(effect)                    # Tell: send; Check: node.check(id, now), then Checked; Wake: come back
    node.handle(Heard(1, message), now, chance)            # whatever a neighbour said, of transactions or of blocks
    node.handle(node.make(b"maker", sign, now), now, chance)                     # a block with what waits here
    node.tree.head, node.tree.account(b"anna"), node.tree.depth(tx), len(node.pool)

Inside::

    block.py     header, block, ids, the root over transactions, seal and work. Open this first
    ledger.py    what a block does to accounts; no double spend in one chain
    tree.py      all good blocks, which branch counts, how it moves
    orphans.py   blocks whose parents are not here, bounded
    words.py     messages about blocks, and their bytes
    compact.py   blocks in short form, rebuilt from the mempool
    wanted.py    which blocks are fetched, and of whom
    serving.py   what is given to those who ask
    relay.py     headers first, validated before they go further, late nodes catch up
    full.py      all of it with a mempool and a relay for transactions: a node
"""

from __future__ import annotations

from .block import Block, Header, root_of, transaction_id, worked
from .compact import rebuilt, short_ids
from .full import FullNode, Settings
from .orphans import OrphanLimits, Orphans
from .relay import BlockRelay
from .tree import ChainRules, Moved, Tree, genesis, sealed, unsealed
from .wanted import Fetching
from .words import BLOCK_KINDS, BlockMessage, decoded, encoded

__all__ = [
    "BLOCK_KINDS", "Block", "BlockMessage", "BlockRelay", "ChainRules", "Fetching", "FullNode", "Header", "Moved",
    "OrphanLimits", "Orphans", "Settings", "Tree", "decoded", "encoded", "genesis", "rebuilt", "root_of", "sealed",
    "short_ids", "transaction_id", "unsealed", "worked",
]
