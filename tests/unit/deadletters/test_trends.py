# SPDX-License-Identifier: Apache-2.0
"""Letters counted over time: every one once, in bounded memory, and what is new, growing or moving is named."""

from __future__ import annotations

import asyncio
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast._base.letter import ROWS
from holdfast._base.letter_text import iso, utf8
from holdfast.deadletters.letters import letter_info
from holdfast.deadletters.trends import Fact, Settled, Tally, Window, fact_of, fact_of_metadata, last, trends
from holdfast.deadletters.trends.page import bars, blocks, lasting, markdown, summary
from holdfast.deadletters.trends.tally import DAY_MS, DIMENSIONS, ERRORS_MAX, HOUR_MS, NAMES_MAX, OTHERS
from holdfast.errors import ConfigurationError

NOW = 1_795_651_200_000  # 2026-11-26T00:00:00Z
WEEK = last(until_ms=NOW)
FULL = {row.name: row.example for row in ROWS}


def fact(days_ago, **given):
    values = {"at_ms": NOW - int(days_ago * DAY_MS), "id": "L", "category": "transient", "type": "TimeoutError",
              "stream": "orders", "service": "billing", "reason": "max_attempts", "fingerprint": "v1:aaaaaaaa"}
    return Fact(**{**values, **given})


def report(*facts, window=WEEK, **more):
    tally = Tally(window)
    for one in facts:
        tally.add(one)
    return tally.report(**more)


def test_letters_are_counted_by_the_step_and_by_what_they_are():
    found = report(fact(0.5), fact(0.6), fact(6.5, category="permanent", type="ValueError"), fact(8))
    assert (found.counted, found.before, found.totals) == (3, 1, [1, 0, 0, 0, 0, 0, 2])
    assert [(line.name, line.count, line.before, line.counts[-1]) for line in found.by["category"]] == [
        ("transient", 2, 1, 2), ("permanent", 1, 0, 0)]
    assert found.by["type"][0].change == 1
    assert (found.steps[0], found.since, found.until) == (iso(NOW - 7 * DAY_MS), iso(NOW - 7 * DAY_MS), iso(NOW))


@given(st.lists(st.integers(-3 * DAY_MS, 20 * DAY_MS), max_size=60), st.integers(1, 30), st.booleans())
@settings(max_examples=60, deadline=None)
def test_every_letter_is_accounted_for_wherever_it_lies(ages, days, by_hour):
    found = report(*(fact(age / DAY_MS) for age in ages), window=last(until_ms=NOW, days=days, by_hour=by_hour))
    assert found.seen == len(ages)
    assert found.counted == sum(found.totals)
    for dimension in DIMENSIONS:
        assert sum(line.count for line in found.by[dimension]) == found.counted
        assert sum(line.before for line in found.by[dimension]) == found.before


def test_an_error_is_new_when_no_letter_of_it_is_older_than_the_window():
    old, late = {"fingerprint": "v1:00000001"}, {"fingerprint": "v1:00000002"}
    found = report(fact(1, **old), fact(100, **old), fact(2, id="first", **late), fact(1, id="last", **late))
    assert [(one.fingerprint, one.count, one.example, one.first) for one in found.new] == [
        ("v1:00000002", 2, "last", iso(NOW - 2 * DAY_MS))], "guard: new is what was not there before"


def test_who_remembers_longer_than_letters_lie_says_what_is_new():
    known = {("orders", "v1:aaaaaaaa"): NOW - 90 * DAY_MS}
    assert report(fact(1), known_ms=known).new == []
    assert len(report(fact(1), known_ms={("other", "v1:aaaaaaaa"): 0}).new) == 1


@pytest.mark.parametrize(("before", "now", "grows"), [(5, 10, True), (4, 8, False), (10, 19, False), (0, 50, False)])
def test_an_error_grows_when_it_is_twice_as_many_and_five_more(before, now, grows):
    found = report(*[fact(8)] * before, *[fact(1)] * now)
    assert bool(found.growing) == grows
    if grows:
        assert (found.growing[0].before, found.growing[0].count) == (before, now)


def test_what_moved_most_comes_first_upwards_or_downwards():
    found = report(*[fact(1, stream="up")] * 3, *[fact(8, stream="down")] * 9, top=3)
    assert [(m.dimension, m.name, m.change) for m in found.movers] == [
        ("stream", "down", -9), ("category", "transient", -6), ("reason", "max_attempts", -6)]


def test_names_and_errors_are_bounded_and_nothing_is_dropped():
    count = max(NAMES_MAX, ERRORS_MAX) + 50
    tally = Tally(WEEK)
    for n in range(count):
        tally.add(fact(1, service=f"s{n}", fingerprint=f"v1:{n:08x}"))
    found = tally.report(top=count)
    services = {line.name: line.count for line in found.by["service"]}
    assert (len(services), services[OTHERS]) == (NAMES_MAX + 1, count - NAMES_MAX), "guard: bounded names"
    assert len(found.new) == ERRORS_MAX, "guard: bounded errors"
    assert found.counted == count


@pytest.mark.parametrize("window", [(NOW, NOW, DAY_MS), (0, NOW, HOUR_MS)])
def test_a_window_without_steps_or_with_too_many_is_refused(window):
    with pytest.raises(ConfigurationError, match="1 to 1000 steps"):
        Window(*window)


def test_a_letter_s_moment_is_when_it_failed_or_else_when_it_was_buried():
    assert fact_of_metadata(FULL).at_ms == 1795331586100
    assert fact_of_metadata({"failure-timestamp": "yesterday", "burial-timestamp": iso(7)}).at_ms == 7
    assert fact_of_metadata({}, at_ms=9) == Fact(9, "", "unknown", "", "", "", "", "")
    assert fact_of_metadata({"error-category": "business", "error-code": "limit"}).category == "business:limit"


def test_a_letter_counts_for_the_stream_its_users_know():
    letter = letter_info("orders{3}", "billing", b"1763795586123-0", [b"x-dlq-original-topic", b"orders{3}"])
    assert (fact_of(letter, "orders").stream, fact_of(letter).stream) == ("orders", "orders{3}")
    assert fact_of(letter).at_ms == 1763795586123


def test_a_hundred_thousand_letters_take_seconds():
    raw = [utf8(part) for name, value in FULL.items() for part in (f"x-dlq-{name}", value)]
    letters = [letter_info("orders", "billing", b"1763795586123-0", raw)] * 1000

    async def all_of_them():
        for _ in range(100):
            for letter in letters:
                yield letter

    began = time.process_time()
    found = asyncio.run(trends(all_of_them(), last(until_ms=1795331590000)))
    assert (found.counted, time.process_time() - began < 10) == (100_000, True)


def test_a_report_is_a_page_on_which_nothing_of_a_letter_is_markup():
    hostile = "<img src=x>|`a`\n# b"
    found = report(*[fact(1, type=hostile)] * 3, *[fact(8)] * 2, settled=[
        Settled(category="transient", settled=2, open=1, mean_s=90.0, longest_s=7200.0)])
    page = markdown(found)
    assert "<img" not in page
    assert "| &lt;img src=x&gt;\\|\\`a\\` # b |" in page
    assert [block.title for block in blocks(found)] == [
        "Letters by the day", "By category", "By type", "By stream", "By service", "By reason",
        "What changed most", "Until they are settled"]
    assert "1.5 min | 2.0 h" in page
    assert summary(found).startswith(f"3 letters since {iso(NOW - 7 * DAY_MS)}, 2 in the time before (+50%)")


def test_numbers_are_drawn_as_bars_however_many_there_are():
    assert bars([0, 1, 4, 8]) == "·▁▄█"
    assert len(bars(range(500))) <= 30
    assert (bars([]), lasting(None), lasting(59.0), lasting(200_000.0)) == ("", "", "59.0 s", "2.3 d")
