# SPDX-License-Identifier: Apache-2.0
"""The report as a page.

::

    page.py        the whole file, and what it may do
    tables.py      operations, calls, findings, rejected records
    waterfall.py   one trace as bars
    flame.py       time by call path
    graph.py       services and their calls; layout.py says where they stand
    style.css, script.js
"""

from __future__ import annotations

from .page import graph_page, page, policy
from .waterfall import Shown

__all__ = ["Shown", "graph_page", "page", "policy"]
