# SPDX-License-Identifier: Apache-2.0
"""Times, amounts, filters and addresses of the screens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.console.flashes import KEPT_S, NOTES_MAX, Flashes, Note
from holdfast.console.pages.forms import local
from holdfast.console.pages.wanted import wanted_of
from holdfast.console.pages.words import ago, counted, lasting, number, short, size, stamp, told, when
from holdfast.console.problem import Refused
from holdfast.testing import ManualClock


@pytest.mark.parametrize("elsewhere", [
    "//evil.example", "/\\evil.example", "\\\\evil.example", "https://evil.example", "javascript:alert(1)", "",
    "/\t/evil.example", "/\n/evil.example", "/a\\b", "evil", "///evil.example", "/%0d\r\nSet-Cookie: a=b"])
def test_the_way_on_is_never_to_another_place(elsewhere):
    assert local(elsewhere) == "/", "guard: no open redirect"


@pytest.mark.parametrize("here", ["/", "/letters?stream=a&next=//x", "/letters/L1#log"])
def test_the_way_on_is_to_a_page_of_ours(here):
    assert local(here) == here


@pytest.mark.parametrize(("seconds", "words"), [
    (0, "0 s"), (0.4, "0 s"), (59.6, "1 min"), (61, "1 min 1 s"), (3_600, "1 h"), (7_265, "2 h 1 min"),
    (90_000, "1 d 1 h"), (86_400 + 5, "1 d"), (-3, "0 s")])
def test_durations_have_two_units_at_most(seconds, words):
    assert lasting(seconds) == words


def test_times_say_how_long_ago_and_odd_ones_are_none():
    now = 1_795_735_648_017
    assert ago(now - 61_000, now) == "1 min ago"
    assert ago(now + 7_200_000, now) == "in 2 h"
    assert ago(now, now) == "now"
    assert stamp(1_795_735_548_017) == "2026-11-26T23:25:48Z"
    assert 'datetime="2026-11-26T23:25:48Z"' in when(1_795_735_548_017, now)
    for odd in (0, -1, 1 << 62):
        assert stamp(odd) == ""
        assert "<time" not in when(odd, now)


def test_amounts_are_for_people():
    assert [number(n) for n in (0, 1234567, -1, 0.25)] == ["0", "1,234,567", "?", "0.2"]
    assert [size(n) for n in (1, 1_023, 2_048, 5 << 20)] == ["1 bytes", "1,023 bytes", "2.0 KiB", "5.0 MiB"]
    assert [counted(1, "letter"), counted(2, "letter")] == ["1 letter", "2 letters"]
    assert short("a\n b " * 100, 10) == "a b a b a…"


def test_a_steps_detail_is_said_in_words():
    assert told('{"job":"J1","sent":"%s"}' % ("a" * 64)) == f"job J1, sent {'a' * 12}…"
    assert [told(odd) for odd in ("", "no json", "[1]")] == ["", "no json", "[1]"]


def test_a_filter_goes_into_an_address_and_comes_back():
    wanted = wanted_of({"stream": " orders ", "group": "", "state": "manual", "assignee": "-", "since": "1h", "x": "y"})
    found = wanted.filter(10_000_000)
    assert (found.logical, found.group, found.states, found.assignee) == ("orders", None, ("manual",), "")
    assert found.since_ms == 10_000_000 - 3_600_000
    assert wanted.query(state="") == "stream=orders&assignee=-&since=1h"
    assert wanted_of({}).filter(0).open is True
    assert wanted_of({"state": "any"}).filter(0).open is None
    assert wanted_of({"state": "ended"}).filter(0).open is False


@pytest.mark.parametrize("odd", [{"state": "odd"}, {"since": "1y"}, {"stream": "x" * 256}, {"key": "a\0b"}])
def test_a_filter_that_cannot_be_is_refused(odd):
    with pytest.raises(Refused):
        wanted_of(odd)


@given(st.text(max_size=300))
def test_any_text_is_cut_to_one_line(text):
    cut = short(text, 20)
    assert len(cut) <= 20
    assert "\n" not in cut


def test_what_is_said_is_said_once_to_whom_it_is_for_and_not_late():
    clock = ManualClock()
    flashes = Flashes(clock)
    token = flashes.leave("ana", Note(text="done"))
    assert flashes.taken(token, "bea") is None, "guard: said to whom it was left for"
    assert flashes.taken(token, "ana") == Note(text="done")
    assert flashes.taken(token, "ana") is None
    late = flashes.leave("ana", Note(text="late"))
    clock.advance(KEPT_S + 1)
    assert flashes.taken(late, "ana") is None
    first = flashes.leave("ana", Note(text="first"))
    for _ in range(NOTES_MAX):
        flashes.leave("bea", Note(text="more"))
    assert flashes.taken(first, "ana") is None
