# SPDX-License-Identifier: Apache-2.0
"""What a run was like: a simulation's, or that of real nodes by their journals.

::

    run.py         one run, the form that everything below takes
    reading.py     journals become a run, and what is odd about them is named; files.py reads and writes them
    writing.py     a simulation as a run, and as journals
    clocks.py      clocks that differ
    figures.py     all numbers of a run; blocks.py those of blocks, spies.py those of who listens
    seeds.py       a median over runs, and how far to trust it
    shapes.py      distances, log-normal fits, growth with size
    sweep.py       one knob turned: the knee, and who is beaten by nobody
    html/          the report
"""

from __future__ import annotations

from .figures import Figures, figures
from .files import read, write
from .run import Run
from .seeds import Interval, across
from .writing import of_chain, of_simulation

__all__ = ["Figures", "Interval", "Run", "across", "figures", "of_chain", "of_simulation", "read", "write"]
