# SPDX-License-Identifier: Apache-2.0
"""Ids from an id service, prefetched, so that its absence is not noticed for a while.

::

    with RemoteIds(["http://ids-0:8080", "http://ids-1:8080"], "orders") as ids:
        ids.next_id()

Inside::

    stock.py      ids in hand, and how many more to ask for. Open this first
    turns.py      which instance is asked next, and when
    asking.py     one request, and what its answer means
    prefetch.py   the thread that fills the stock
    clients.py    for threads and for tasks
"""

from __future__ import annotations

from .clients import AsyncRemoteIds, RemoteIds

__all__ = ["AsyncRemoteIds", "RemoteIds"]
