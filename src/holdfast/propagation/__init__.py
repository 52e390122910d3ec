# SPDX-License-Identifier: Apache-2.0
"""How a transaction spreads: policies as decisions, and a simulator and real nodes that carry out these very ones.

::

    from holdfast.propagation import simulate

    summary, _ = simulate("flood", nodes=200, seed=7)
    print(summary.reached, summary.t50_s, summary.duplicates_per_node)

Inside::

    relay/         who passes on what to whom, and when: (event, now, chance) → effects. Open this first
    mempool.py     which transactions a node takes, keeps and lets go
    chain/         blocks: which are good, which chain counts, how they reach everybody; a whole node
    peers/         whom to be linked with: addresses, choices, bans, limits
    node/          real nodes over TCP, and fleets of them
    topology.py    who is linked to whom
    sim/           the relays under a clock of their own
    rehearsal.py   a scenario as processes and in the simulator, and how far apart they are
    wire.py        how long messages are
    analyse.py     what a spread was like, in numbers
    journal.py     what a node writes down
    analysis/      all that journals and simulations say: figures, comparisons, a page
    stopping.py    rules for when to stop telling, beside each other
    presets.py     networks by the name of what they model
"""

from __future__ import annotations

from .analyse import Spread, Summary, summarise
from .presets import PRESETS, Preset, simulate

__all__ = ["PRESETS", "Preset", "Spread", "Summary", "simulate", "summarise"]
