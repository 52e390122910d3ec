# SPDX-License-Identifier: Apache-2.0
"""What dead letters do over time: how many, of what, since when, and how fast they are dealt with. From metadata alone.

::

    window = last(days=7, until_ms=now_ms)
    found = await trends(shelf.letters(), window)
    print(found.totals, [line.name for line in found.by["type"]], [one.fingerprint for one in found.new])

``tally`` is the idea, pure; ``report`` are the records that come out; ``page`` writes them down for people; ``desk``
reads what a dead-letter service has in hand, and says how long letters take until they are settled.
"""

from __future__ import annotations

from .report import Error, Line, Mover, Settled, Trends
from .tally import Fact, Tally, Window, fact_of, fact_of_metadata, last, trends

__all__ = [
    "Error", "Fact", "Line", "Mover", "Settled", "Tally", "Trends", "Window", "fact_of", "fact_of_metadata", "last",
    "trends",
]
