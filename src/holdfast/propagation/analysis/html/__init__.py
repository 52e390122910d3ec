# SPDX-License-Identifier: Apache-2.0
"""The report of runs as a page.

::

    page.py       the whole file
    charts.py     curves, bars, heat maps, the timeline: drawings without data of their own
    tables.py     figures, intervals, distances, links, blocks
    words.py      numbers as people read them
    style.css, script.js
"""

from __future__ import annotations

from .page import Told, page

__all__ = ["Told", "page"]
