# SPDX-License-Identifier: Apache-2.0
"""Ids that cannot collide.

::

    from holdfast.ids import Generator, WorkerId, layout_called
    from holdfast.ids.schemes.redis import RedisWorkers

    with WorkerId(RedisWorkers("redis://localhost:6379/0")) as worker:
        ids = Generator(layout_called("snowflake"), worker)
        ids.next_id()

Inside::

    layout.py      what the bits mean: time, worker, sequence. Open this first
    forms.py       ids as text that sorts; obscure.py: numbers for strangers
    term.py        what a generator may do: a worker id for a window of store time
    generator.py   a place that only moves on, and blocks that threads draw from; sweeper.py: what lies too long
    scheme.py      what a store of worker ids is; schemes/: those there are; named.py: those given from outside
    worker.py      holding a worker id: claimed, renewed, given back
"""

from __future__ import annotations

from .generator import Generator, Pace
from .layout import Decoded, Layout, layout_called
from .term import Term, Window
from .worker import WorkerId

__all__ = ["Decoded", "Generator", "Layout", "Pace", "Term", "Window", "WorkerId", "layout_called"]
