# SPDX-License-Identifier: Apache-2.0
"""What is told of an incident and when, and how much a provider takes: by time alone."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from holdfast.deadletters.notify.incidents import GROWTH_MAX, Incident, Notice, next_of, slot, told, worse
from holdfast.deadletters.notify.limits import MINUTE_MS, WAY_MS, Window, close, take

DIGEST = 900_000


def incident(**said):
    return Incident(**{"id": "i", "about": "letters", "category": "transient", "logical": "orders", "group": "billing",
                       "severity": "warning", "opened_ms": 0, "changed_ms": 0, "count": 1, **said})


def test_it_is_told_once_when_it_opens_and_once_when_it_is_over():
    one, notice = incident(), Notice(incident_id="i", route="all")
    assert next_of(one, notice, 0, DIGEST) == "opened"
    notice = told(notice, one, "opened", "chat", 0)
    assert next_of(incident(count=10_000), notice, DIGEST - 1, DIGEST) is None, "guard: one page an incident"
    over = incident(state="resolved")
    assert next_of(over, notice, 1, DIGEST) == "resolved"
    assert next_of(over, told(notice, over, "resolved", "chat", 1), 2, DIGEST) is None


def test_what_becomes_more_severe_is_told_at_once():
    notice = told(Notice(incident_id="i", route="all"), incident(), "opened", "chat", 0)
    assert next_of(incident(severity="critical", count=2), notice, 1, DIGEST) == "digest"
    assert next_of(incident(severity="info", count=2), notice, 1, DIGEST) is None
    assert worse("warning", "critical") == "critical"


def test_who_is_at_it_gets_no_more_digests_but_is_told_when_it_gets_worse():
    notice = told(Notice(incident_id="i", route="all"), incident(), "opened", "chat", 0)
    mine = incident(state="acknowledged", count=99)
    assert next_of(mine, notice, 1, DIGEST) == "acknowledged"
    notice = told(notice, mine, "acknowledged", "chat", 1)
    later = msgspec.structs.replace(mine, count=999)
    assert next_of(later, notice, 10**12, DIGEST) is None
    assert next_of(msgspec.structs.replace(later, severity="critical"), notice, 2, DIGEST) == "digest"


def test_of_a_month_of_letters_there_are_so_many_messages_and_no_more():
    notice, messages = Notice(incident_id="i", route="all"), 0
    for minute in range(30 * 24 * 60):
        one = incident(count=minute + 1)
        what = next_of(one, notice, minute * 60_000, DIGEST)
        if what:
            notice, messages = told(notice, one, what, "chat", minute * 60_000), messages + 1
    apart = DIGEST * GROWTH_MAX / 60_000
    assert messages <= 2 + 5 + 30 * 24 * 60 / apart, "guard: digests become rarer"
    assert messages > 30 * 24 * 60 / apart - 5


def test_a_source_and_a_category_have_one_live_incident():
    names = {slot(about, category, logical, group) for about in ("letters", "pause") for category in ("a", "ab")
             for logical in ("c", "bc") for group in ("d", "")}
    assert len(names) == 16


@given(st.lists(st.integers(0, 3_000), min_size=60, max_size=200), st.integers(0, WAY_MS))
def test_no_minute_of_the_provider_has_more_than_it_takes(gaps, way_ms):
    """Messages leave as there is room, and each may be under way for as long as it likes, up to ``WAY_MS``."""
    now, window, arrived = 0, Window(), []
    for n, gap in enumerate(gaps):
        now += gap
        window, wait = take(window, now, 20)
        if not wait:
            arrived.append(now + (way_ms if n % 2 else 0))
    arrived.sort()
    for first in arrived:
        inside = sum(first <= at < first + MINUTE_MS for at in arrived)
        assert inside <= 20, "guard: the provider's limit"


def test_what_is_under_way_for_long_counts_when_it_arrives():
    window = Window()
    for _ in range(20):
        window, _ = take(window, 0, 20)  # they arrive at WAY_MS
    assert take(window, 0, 20)[1] > 0, "guard: the provider's limit"
    assert take(window, MINUTE_MS + 1, 20)[1] > 0, "guard: the provider's limit"


def test_room_comes_back_and_a_provider_that_shuts_us_out_is_left_alone():
    window = Window()
    for n in range(20):
        window, wait = take(window, n, 20)
        assert wait == 0
    _, wait = take(window, 20, 20)
    assert 0 < wait <= MINUTE_MS + WAY_MS
    assert take(window, 20 + wait, 20)[1] == 0
    closed, _ = close(Window(), 0, for_ms=600_000)
    assert take(closed, 1, 20)[1] == 599_999
    assert take(closed, 600_000, 20)[1] == 0
