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
    generator.py   a place that only moves on; blocks.py: what threads draw from; sweeper.py: what lies too long
    scheme.py      what a store of worker ids is; schemes/: those there are; named.py: those given from outside
    windows.py     which one is given, and for which window; clockless.py: where the store has no clock; sessions.py:
                   where a session says who lives
    worker.py      holding a worker id: claimed, renewed, given back
    remembered.py  keeping it through a restart while the store is away; memory.py: when that is sound
    hold_file.py   a worker id in a file: one process holds it, another one makes ids by it
"""

from __future__ import annotations

from .generator import Generator, Pace
from .layout import Decoded, Layout, layout_called
from .term import Term, Window
from .worker import WorkerId

__all__ = ["Decoded", "Generator", "Layout", "Pace", "Term", "Window", "WorkerId", "layout_called"]
