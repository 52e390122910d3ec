# SPDX-License-Identifier: Apache-2.0
"""Charts: sound markup for whatever numbers come, and nothing the console's policy would refuse."""

from __future__ import annotations

import math
from xml.etree import ElementTree as ET

import pytest

from holdfast.console.charts import EDGE, HEIGHT, WIDTH, bars, sparkline

ODD = [[], [0.0], [5.0], [1, 2, 3], [math.nan, math.inf, -3.0, 2.0], [0.0] * 60, [1e300, 1e-300]]


@pytest.mark.parametrize("draw", [sparkline, bars])
@pytest.mark.parametrize("values", ODD, ids=str)
def test_whatever_comes_is_a_picture_within_its_frame(draw, values):
    picture = ET.fromstring(draw(values, "lag"))
    assert picture.get("role") == "img"
    assert picture.get("aria-label") == "lag"
    for line in picture.iter("polyline"):
        for point in line.get("points").split():
            x, y = (float(part) for part in point.split(","))
            assert EDGE <= x <= WIDTH - EDGE
            assert EDGE <= y <= HEIGHT - EDGE
    for bar in picture.iter("rect"):
        assert float(bar.get("y")) >= 0
        assert float(bar.get("y")) + float(bar.get("height")) <= HEIGHT


def test_the_highest_touches_the_top_and_zero_the_bottom():
    line = ET.fromstring(sparkline([0, 4, 2], "lag")).find("polyline").get("points").split()
    assert [float(point.split(",")[1]) for point in line] == [HEIGHT - EDGE, EDGE, HEIGHT / 2]


def test_one_among_many_is_still_seen():
    tall = [float(bar.get("height")) for bar in ET.fromstring(bars([1, 0, 100_000], "letters")).iter("rect")]
    assert tall[0] >= 1
    assert tall[1] == 0


@pytest.mark.parametrize("draw", [sparkline, bars])
def test_a_label_is_words_and_never_markup(draw):
    drawn = draw([1, 2], '"><script>alert(1)</script>')
    assert "<script" not in drawn, "guard: a label is escaped"
    assert "style=" not in drawn, "guard: no inline style"
    assert ET.fromstring(drawn).get("aria-label") == '"><script>alert(1)</script>'
