# SPDX-License-Identifier: Apache-2.0
"""Events of nodes that pass on transactions and blocks. Import them from ``events``."""

from __future__ import annotations

import logging

from .event import Event

__all__ = ["PropagationStood"]


class PropagationStood(Event, frozen=True, kw_only=True):
    """How a node stands, each second, and what it did since the last one.

    ``node``: its id. ``peers``, ``outbound``: links, and those that it opened. ``alone_s``: since when it has none; 0
    with one. ``mempool``, ``mempool_bytes``: what waits for a block; ``filled``: the part of the room that it takes.
    ``height``: of its chain. ``head_age_s``: since the chain moved. ``banned``: nodes it does not speak to. ``known``:
    addresses.

    Since the last one: ``received`` words, transactions ``forwarded``, ``duplicate``, ``invalid``; ``too_much``: words
    that were more than a neighbour may say. ``confirmed``, ``undone``: transactions that came into the chain, and
    blocks that left it. ``fetch_s``: from the first word of a transaction until it was here. ``block_s``: from a
    block's making, by its maker's clock.
    """

    node: str
    level: int = logging.DEBUG
    peers: int = 0
    outbound: int = 0
    alone_s: float = 0.0
    mempool: int = 0
    mempool_bytes: int = 0
    filled: float = 0.0
    height: int = 0
    head_age_s: float = 0.0
    banned: int = 0
    known: int = 0
    received: int = 0
    forwarded: int = 0
    duplicate: int = 0
    invalid: int = 0
    too_much: int = 0
    confirmed: int = 0
    undone: int = 0
    fetch_s: tuple[float, ...] = ()
    block_s: tuple[float, ...] = ()
