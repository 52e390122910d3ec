# SPDX-License-Identifier: Apache-2.0
"""The page: everything is in it in words, nothing is fetched, and no name gets out of its place."""

from __future__ import annotations

import random
import re
from html.parser import HTMLParser

import pytest

from holdfast.propagation.analyse import Spread, Summary
from holdfast.propagation.analysis import across, figures
from holdfast.propagation.analysis.html import Told, page
from holdfast.propagation.analysis.html.charts import Curve, bars, curves, heat_map, timeline
from holdfast.propagation.analysis.html.words import number, seconds, share, size
from holdfast.propagation.analysis.run import Block, Confirmation, Run

HOSTILE = '<img src=x onerror="alert(1)">'


def hand(name="hand", nodes=("a", "b", "c"), arrived=(0.0, 1.0, 2.0)):
    count = len(nodes)
    spread = Spread(list(arrived), [0, *[1] * (count - 1)], [0] * count, [0.0] * count,
                    first_peer=[-1, *[0] * (count - 1)])
    block = Block("B", 1, "", spread)
    return Run(name, 1, list(nodes), ["t"], [spread], {(0, 1, "body"): 300, (0, 2, "announce"): 36}, blocks=[block],
               confirmations=[Confirmation("t", 0, 1, 5.0)], notes=[f"odd: {HOSTILE}"])


def told(**more):
    run = hand(**more)
    return Told(run, figures(run, random.Random(1)))


class Elements(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def test_all_of_it_is_there():
    medians = across([Summary(3, 1, 3, 1.0, 2.0, 2.0, 2.0, 0.0, 112.0, 1.0)] * 6)
    text = page([told(), told(name="other")], {"hand": medians})
    for heading in ("Figures", "Over several seeds", "Coverage over time", "Timeline", "How far runs are apart",
                    "Over how many links it came", "Bytes", "Who sends to whom", "Blocks", "What was odd (2)"):
        assert f">{heading}</h2>" in text, heading
    assert "96.9 %" in text
    assert "Confirmations" in text
    assert "1 deep" in text


def test_one_run_has_tiles_and_nothing_to_compare():
    text = page([told()])
    assert 'class="tiles"' in text
    assert "How far runs are apart" not in text


def test_runs_of_one_name_are_told_apart():
    text = page([told(), told()])
    assert 'aria-label="Busiest links of hand (2), a table"' in text


def test_the_same_run_gives_the_same_bytes():
    assert page([told()]) == page([told()])


def test_a_name_cannot_become_markup_and_nothing_is_fetched():
    text = page([told(name=HOSTILE, nodes=(HOSTILE, "b", "c"))], title=HOSTILE)
    elements = Elements(text).found
    assert not [tag for tag, _ in elements if tag in {"img", "link", "iframe", "base"}]
    assert [tag for tag, _ in elements].count("script") == 1
    assert not [name for _, attributes in elements for name in attributes if name.startswith("on") or name == "style"]
    assert not re.search(r"https?://", text)
    policy = next(attributes["content"] for _, attributes in elements if attributes.get("http-equiv"))
    assert policy.startswith("default-src 'none'; style-src 'sha256-")


def test_who_never_had_it_is_drawn_as_such_and_named():
    text = page([told(arrived=(0.0, 1.0, float("inf")))])
    assert 'class="dot never"' in text
    assert "never came to all at: <bdi>c</bdi>" in text
    assert "c: never" in text


def test_a_run_without_links_and_one_in_which_nobody_else_had_it_can_be_drawn():
    lonely = Run("lonely", 1, ["a", "b"], ["t"], [Spread([0.0, float("inf")], [0, -1], [0, 0], [0, 0])])
    text = page([Told(lonely, figures(lonely, random.Random(1)))])
    assert "Coverage over time" in text
    assert "Who sends to whom" not in text


def test_of_very_many_nodes_every_so_manyth_is_drawn_and_this_is_said():
    drawn = timeline([f"n{n}" for n in range(4000)], [n / 1000 for n in range(4000)], "x")
    assert drawn.count("<title>") == 1334
    assert "Every 3th of 4000" in drawn


def test_a_curve_says_what_it_shows():
    drawn = curves([Curve("a", [(0.0, 0.25), (1.0, 0.5), (2.0, 1.0)]), Curve("none", [])])
    assert "a: half after 1.00 s, 100 % at the end" in drawn
    assert "none: nobody" in drawn


def test_bars_have_room_for_numbers_that_nobody_has():
    drawn = bars({0: 1, 3: 5}, 0, "hops")
    assert drawn.count("<rect") == 4
    assert "0: 16.7 %, 3: 83.3 %" in drawn


def test_numbers_without_end_share_the_last_bar():
    drawn = bars({0: 1, 59: 1, 60: 1, 10**9: 3}, 0, "hops")
    assert drawn.count("<rect") == 61
    assert "the last bar is of 60 and more. 0: 16.7 %, 59: 16.7 %, 60: 66.7 %" in drawn


def test_a_cell_is_as_dark_as_it_is_hot_and_nothing_is_empty():
    drawn = heat_map([[0, 1], [100, 25]], 1)
    assert re.findall(r'class="h(\d)"', drawn) == ["0", "1", "9", "5"]


@pytest.mark.parametrize(("said", "wanted"), [
    (seconds(0.1234), "0.123 s"), (seconds(12.34), "12.3 s"), (seconds(None), "never"), (size(624), "624 B"),
    (size(467_000), "467 kB"), (size(999_900), "1,000 kB"), (size(None), "-"), (share(0.9999), ">99.9 %"),
    (share(1.0), "100 %"), (share(0.125), "12.5 %"), (number(12345), "12\u202f345"), (number(0.5), "0.500")])
def test_numbers_in_words(said, wanted):
    assert said == wanted
