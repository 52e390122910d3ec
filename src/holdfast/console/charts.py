# SPDX-License-Identifier: Apache-2.0
"""Small charts as SVG, drawn on the server. Pure: numbers in, markup out, the same for the same.

A chart is a picture with a name: what it shows stands in its ``aria-label``, and the number itself stands beside it on
the page, so that nobody has to read a curve. Colours come from the style sheet by class; there is no inline style,
since the policy of the console allows none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

WIDTH, HEIGHT = 160, 32
#: Pixels kept free at the edges, so that a line at its highest is not cut.
EDGE = 2


def sparkline(values: Sequence[float], label: str, *, width: int = WIDTH, height: int = HEIGHT) -> str:
    """The course of a number, oldest first, from zero to its highest. label: what it is, for who cannot see it.

    What is not a finite number counts as zero. Fewer than two values are a flat line.
    """
    course = [_sound(value) for value in values] or [0.0]
    course = course * 2 if len(course) == 1 else course
    top = max(course) or 1.0
    step = (width - 2 * EDGE) / (len(course) - 1)
    points = [(EDGE + n * step, height - EDGE - value / top * (height - 2 * EDGE)) for n, value in enumerate(course)]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    area = f"{EDGE},{height - EDGE} {line} {width - EDGE},{height - EDGE}"
    return _picture(f'<polygon class="area" points="{area}"/><polyline class="line" points="{line}"/>', label,
                    width, height)


def bars(values: Sequence[float], label: str, *, width: int = WIDTH, height: int = HEIGHT) -> str:
    """Amounts side by side, from zero to the highest. What is above zero is seen, however little it is."""
    amounts = [_sound(value) for value in values]
    if not amounts:
        return _picture("", label, width, height)
    top, step = max(amounts) or 1.0, (width - 2 * EDGE) / len(amounts)
    drawn = []
    for n, amount in enumerate(amounts):
        tall = max(1.0, amount / top * (height - 2 * EDGE)) if amount else 0.0
        drawn.append(f'<rect class="bar" x="{EDGE + n * step:.1f}" y="{height - EDGE - tall:.1f}" '
                     f'width="{max(0.5, step * 0.8):.1f}" height="{tall:.1f}"/>')
    return _picture("".join(drawn), label, width, height)


def _sound(value: float) -> float:
    return max(0.0, float(value)) if math.isfinite(value) else 0.0


def _picture(inner: str, label: str, width: int, height: int) -> str:
    return (f'<svg class="chart" role="img" aria-label="{escape(label)}" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}">{inner}</svg>')
