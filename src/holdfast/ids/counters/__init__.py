# SPDX-License-Identifier: Apache-2.0
"""Ids from counters: numbers that a store counts up.

::

    from holdfast.ids.counters import Segments
    from holdfast.ids.counters.sql import SqlSegments

    with Segments(SqlSegments("postgresql://app@db/app"), "orders") as ids:
        ids.next_id()

Inside::

    rules.py      how large a segment is, and when the next one is fetched. Open this first
    store.py      what a store of counters is
    sql.py        a row a tag; tickets.py: a row an id; several.py: several databases side by side
    ceiling.py    where a counter goes on whose store may forget; redis.py: such a store; dated.py: numbers with a date;
                  memory.py: for tests
    floors.py     how far a counter was raised, written down elsewhere
    supply.py     two segments, and the thread that fetches the next one
    segments.py   what threads and tasks draw from; singly.py: a round trip an id
    forks.py      what a forked child begins anew
"""

from __future__ import annotations

from .dated import Dated
from .rules import Sizes
from .segments import AsyncSegments, Segments
from .several import Several
from .singly import AsyncOneByOne, OneByOne
from .store import CounterStore, Segment, Share

__all__ = [
    "AsyncOneByOne",
    "AsyncSegments",
    "CounterStore",
    "Dated",
    "OneByOne",
    "Segment",
    "Segments",
    "Several",
    "Share",
    "Sizes",
]
