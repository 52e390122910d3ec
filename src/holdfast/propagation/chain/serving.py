# SPDX-License-Identifier: Apache-2.0
"""What a node gives to those who ask: what is in the tree, and so was validated, and nothing else."""

from __future__ import annotations

from typing import cast

from ..._base.chance import Chance
from . import words
from .compact import short_ids
from .tree import Tree
from .words import HEADERS_MAX, SALT_BYTES, BlockMessage


def answer(tree: Tree, said: BlockMessage, hops: int, chance: Chance) -> BlockMessage | None:
    """To getheaders, getblock, getcompact or getparts. hops: how many links the block came to us. None: no honest node
    asks so."""
    ids = cast("tuple[bytes, ...]", said.txs)
    if said.kind == "getheaders":
        return words.headers(tree.after(ids, HEADERS_MAX))
    block = tree.block(ids[0])
    if block is None:
        return words.ask("absent", ids[0])
    if said.kind == "getblock":
        return words.whole(block, hops + 1)
    if said.kind == "getcompact":
        salt = chance.getrandbits(SALT_BYTES * 8).to_bytes(SALT_BYTES, "big")
        return words.compact(block, salt, short_ids(ids[0], salt, (tx.id for tx in block.transactions)), hops + 1)
    places = said.places
    if len(set(places)) != len(places) or not all(0 <= place < len(block.transactions) for place in places):
        return None
    return words.parts(ids[0], [block.transactions[place] for place in places])
