# SPDX-License-Identifier: Apache-2.0
"""What a guard takes and what it refuses, whatever it guards; the guard in memory; offers as text."""

from __future__ import annotations

import asyncio
import contextlib
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast._base.events import Events, FenceRejection
from holdfast.errors import ConfigurationError, FenceRejected
from holdfast.locks.guards import HEADER, MemoryGuard, Offer, Verdict, decide, header_of
from holdfast.locks.guards.header import parse, text_of
from holdfast.locks.guards.offer import ACQUISITION_MAX, TOKEN_MAX, offer_of

FEW_TOKENS = st.one_of(st.integers(1, 4), st.integers(1, TOKEN_MAX))
FEW_OFFERS = st.builds(Offer, FEW_TOKENS, st.sampled_from("abc"))
NAMES = st.text(st.characters(codec="ascii", min_codepoint=0x21, max_codepoint=0x7E, exclude_characters=";,"),
                min_size=1, max_size=ACQUISITION_MAX)


def taken(offers):
    """The offers a guard takes, in order."""
    stored, found = None, []
    for offered in offers:
        verdict = decide(stored, offered)
        if verdict.accepted:
            found.append(offered)
        if verdict is Verdict.NEWER:
            stored = offered
    return found


@given(st.lists(FEW_OFFERS))
def test_tokens_that_are_taken_never_go_back(offers):
    tokens = [offer.token for offer in taken(offers)]
    assert tokens == sorted(tokens)


@given(st.lists(FEW_OFFERS))
def test_one_token_is_taken_from_one_acquisition_alone(offers):
    found = taken(offers)
    assert len({offer.token for offer in found}) == len(set(found))


@given(st.lists(FEW_OFFERS), FEW_OFFERS)
def test_a_larger_token_than_all_before_is_always_taken(offers, last):
    last = last._replace(token=max([last.token, *(offer.token + 1 for offer in offers)]))
    assert taken([*offers, last])[-1:] == [last]


@given(st.lists(FEW_OFFERS, min_size=1), st.integers(0, 3))
def test_a_retry_of_the_same_holder_is_taken_however_often(offers, times):
    last = taken(offers)[-1]
    assert taken([*offers, *[last] * times])[-1 - times:] == [last] * (times + 1)


@pytest.mark.parametrize(("offered", "verdict"), [
    (Offer(8, "b"), Verdict.NEWER), (Offer(8, "a"), Verdict.NEWER), (Offer(7, "a"), Verdict.SAME),
    (Offer(7, "b"), Verdict.RIVAL), (Offer(6, "b"), Verdict.OLDER), (Offer(6, "a"), Verdict.OLDER),
], ids=str)
def test_each_offer_has_its_verdict(offered, verdict):
    assert decide(Offer(7, "a"), offered) is verdict


def test_whoever_comes_first_is_taken():
    assert decide(None, Offer(1, "a")) is Verdict.NEWER


@pytest.mark.parametrize("bad", [
    Offer(0, "a"), Offer(-1, "a"), Offer(TOKEN_MAX + 1, "a"), Offer(1, ""), Offer(1, "a;b"), Offer(1, "a,b"),
    Offer(1, "a b"), Offer(1, "a\n"), Offer(1, "ä"), Offer(1, "a" * (ACQUISITION_MAX + 1)),
], ids=str)
def test_what_could_not_be_kept_or_sent_is_refused_before_it_is_offered(bad):
    with pytest.raises(ConfigurationError, match=r"fencing token|acquisition"):
        offer_of(bad)


# -- as text ---------------------------------------------------------------------------------------------------------


@given(st.builds(Offer, st.integers(1, TOKEN_MAX), NAMES))
def test_an_offer_comes_back_from_its_text(offer):
    assert parse(text_of(offer)) == offer
    assert parse(f" {text_of(offer)}\t") == offer
    assert header_of(offer) == {HEADER: f"{offer.token};{offer.acquisition}"}


@given(st.text())
def test_any_text_is_an_offer_or_a_value_error(text):
    try:
        offer = parse(text)
    except ValueError:
        return
    assert text_of(offer) == text.strip(" \t")


@pytest.mark.parametrize("text", [
    "", "7", "7;", ";a", "07;a", "+7;a", "-7;a", "7.0;a", "1_0;a", "٧;a", "7;a;b", "7;a, 8;b", "7; a", "0;a",
    f"{TOKEN_MAX + 1};a",
])
def test_a_malformed_text_is_no_offer(text):
    with pytest.raises(ValueError, match=r"token|acquisition"):
        parse(text)


# -- in memory -------------------------------------------------------------------------------------------------------


def test_the_guard_in_memory_refuses_a_late_holder_and_says_so():
    told: list[FenceRejection] = []
    guard = MemoryGuard(events=Events(told.append))
    guard.check_plain("report", Offer(8, "b"))
    with pytest.raises(FenceRejected, match="token 8, and this holder has 7") as refused:
        guard.check_plain("report", Offer(7, "a"))
    assert (refused.value.resource, refused.value.offered, refused.value.stored) == ("report", 7, 8)
    assert told == [FenceRejection(where="memory", resource="report", offered=7, stored=8)]
    assert not refused.value.retry_may_help


def test_a_rival_with_the_same_token_is_refused_and_a_retry_is_not():
    guard = MemoryGuard()
    guard.check_plain("report", Offer(8, "b"))
    with pytest.raises(FenceRejected, match="another acquisition with the same token"):
        guard.check_plain("report", Offer(8, "a"))
    guard.check_plain("report", Offer(8, "b"))
    assert guard.inspect() == {"report": Offer(8, "b")}


def test_each_resource_has_a_fence_of_its_own():
    guard = MemoryGuard()
    asyncio.run(guard.check("one", Offer(8, "b")))
    asyncio.run(guard.check("other", Offer(7, "a")))


@given(st.lists(FEW_OFFERS))
def test_the_guard_in_memory_takes_what_the_rule_takes(offers):
    guard, found = MemoryGuard(), []
    for offer in offers:
        try:
            guard.check_plain("report", offer)
        except FenceRejected:
            continue
        found.append(offer)
    assert found == taken(offers)


def test_threads_that_race_leave_the_largest_token():
    guard, start = MemoryGuard(), threading.Barrier(8)

    def offer(number):
        start.wait()
        for token in range(number, 400, 8):
            with contextlib.suppress(FenceRejected):
                guard.check_plain("report", Offer(token + 1, f"t{number}"))

    threads = [threading.Thread(target=offer, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert guard.inspect() == {"report": Offer(400, "t7")}
