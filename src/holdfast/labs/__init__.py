# SPDX-License-Identifier: Apache-2.0
r"""Labs: what the field argues about, run side by side on your own machines. One comparison a file::

    from holdfast.labs import Place, once

    place = Place(url="redis://localhost:6379/0")                      # None: the embedded server
    report = await once.compare(place, once.QUICK, sql="postgresql://app@db/app")
    for cell in report.cells:                                          # scheme, scenario, metric, value, unit
        print(cell)
    print(*report.advice, sep="\n")                                    # which scheme fits what, from these very numbers

Each lab runs every scheme through the same scenarios and gives a ``Report``: cells, and advice that is worked out from
them. What could not be measured has no cell, and a line of the advice says why. A lab writes under names of its own,
beginning with ``<prefix>:lab-``, and removes them whatever ends it. ``holdfast lab`` prints the same report.
"""

from __future__ import annotations

from .cells import Cell, Report
from .place import Place

__all__ = ["Cell", "Place", "Report"]
