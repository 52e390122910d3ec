# SPDX-License-Identifier: Apache-2.0
"""Which instance of the id service is asked next, when, and what its answers mean."""

from __future__ import annotations

import msgspec
import pytest

from holdfast.errors import ConfigurationError, IdsRefused, NotAuthorized
from holdfast.ids.remote.asking import OverQuota, TooMany, meaning
from holdfast.ids.remote.turns import PAUSE_MAX_S, PAUSE_S, TOLD_MAX_S, Turns
from holdfast.testing.clock import FakeChance

URLS = ("a", "b", "c")


def turns(*chances):
    return Turns(URLS, FakeChance([0.0, *chances]))


def test_clients_begin_anywhere():
    assert [Turns(URLS, FakeChance([x])).url for x in (0.0, 0.34, 0.99)] == ["a", "b", "c"]


def test_whoever_answers_is_asked_again_and_one_that_fails_is_left_at_once():
    made = turns(0.0)
    made.answered()
    assert made.url == "a"
    assert (made.failed(), made.url) == (0.0, "b")
    assert (made.failed(), made.url) == (0.0, "c")
    assert made.failed() > 0, "after all have failed there is a pause"
    assert made.url == "a"


def test_pauses_double_up_to_their_most_and_are_drawn_from_their_upper_half():
    made = turns(*[0.0, 1.0] * 20)
    pauses = [[made.failed() for _ in URLS][-1] for _ in range(20)]
    assert pauses[:3] == [PAUSE_S / 2, PAUSE_S * 2, PAUSE_S * 2]
    assert max(pauses) == PAUSE_MAX_S
    assert pauses[-2] == PAUSE_MAX_S / 2


def test_an_answer_ends_the_doubling():
    made = turns(*[0.0] * 10)
    for _ in range(6):
        made.failed()
    made.answered()
    assert [made.failed() for _ in URLS][-1] == PAUSE_S / 2


def test_who_is_told_to_wait_waits_and_asks_nobody_else():
    made = turns(0.0, 1.0, 0.0, 0.0)
    assert made.told(2.0) == 2.0, "guard: not before Retry-After"
    assert made.told(2.0) == pytest.approx(2.2)
    assert made.told(1e9) == TOLD_MAX_S
    assert made.told(0.0) == PAUSE_S
    assert made.url == "a"


def problem(**said):
    return msgspec.json.encode(said)


@pytest.mark.parametrize(("body", "header", "seconds"), [
    (problem(retry_after_s=0.3), "1", 0.3), (b"slow down", "7", 7), (b"", "Fri, 27 Nov 2026 07:28:00 GMT", 1),
    (b"", "", 1), (b"", "-5", 1), (b"", "1e9", 1)])
def test_429_says_how_long(body, header, seconds):
    found = meaning(429, body, header, "http://ids")
    assert isinstance(found, OverQuota)
    assert found.seconds == seconds


def test_answers_that_waiting_does_not_mend_are_told_apart_from_those_it_does():
    assert isinstance(meaning(404, problem(detail="there is no tag 'x' here"), "", "u"), ConfigurationError)
    assert isinstance(meaning(405, b"", "", "u"), ConfigurationError)
    assert isinstance(meaning(401, b"", "", "u"), NotAuthorized)
    assert isinstance(meaning(403, b"", "", "u"), NotAuthorized)
    for status in (500, 502, 503, 504, 408):
        found = meaning(status, b"<html>", "", "u")
        assert isinstance(found, IdsRefused)
        assert not isinstance(found, OverQuota)
    too_many = meaning(422, problem(max_count=50), "", "u")
    assert isinstance(too_many, TooMany)
    assert too_many.most == 50


def test_what_the_service_said_is_passed_on():
    assert "there is no tag 'x' here. Ask for" in str(
        meaning(404, problem(detail="there is no tag 'x' here", advice="Ask for another."), "", "http://ids"))
