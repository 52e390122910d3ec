# SPDX-License-Identifier: Apache-2.0
"""Ids that cannot collide.

::

    layout.py      what the bits mean: time, worker, sequence. Open this first
    forms.py       ids as text that sorts; obscure.py: numbers for strangers
    term.py        what a generator may do: a worker id for a window of store time
    generator.py   a place that only moves on, and blocks that threads draw from; sweeper.py: what lies too long
"""

from __future__ import annotations

from .generator import Generator, Pace
from .layout import Decoded, Layout, layout_called
from .term import Term, Window

__all__ = ["Decoded", "Generator", "Layout", "Pace", "Term", "Window", "layout_called"]
