# SPDX-License-Identifier: Apache-2.0
"""Two members that go on seeing different clusters are found, and the difference is named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import BadPacket, ConfigurationError
from holdfast.gossip.defence.views import (
    BUCKETS,
    Comparing,
    Views,
    bucket_hash,
    bucket_of,
    claim,
    decode,
    decode_entries,
    encode,
    encode_entries,
)

ALL = {f"m{number}": 1 for number in range(100)}
entries = st.dictionaries(st.text("abc", min_size=1, max_size=3), st.integers(0, 3), max_size=20)


def compared(views, ours, theirs, times=4, *, every_s=30.0, start=0.0, first=1):
    found = None
    for turn in range(times):
        found = views.compare(claim("a", turn, ours.items()), claim("b", first + turn, theirs.items()),
                              start + turn * every_s)
    return found


def in_buckets(fetch, view):
    return [(name, incarnation) for name, incarnation in view.items() if bucket_of(name) in fetch.buckets]


def told(view, since=-1e9):
    return [(name, incarnation, since) for name, incarnation in view.items()]


@given(entries, entries)
def test_claims_are_equal_where_views_are_and_only_there(one, other):
    first, second = claim("a", 1, one.items()), claim("a", 1, reversed(other.items()))
    assert (first.buckets == second.buckets) == (one == other)
    assert first.signed_bytes(b"x") != first.signed_bytes(b"y")


def test_equal_views_ask_for_nothing():
    views = Views(Comparing())
    assert compared(views, ALL, ALL, 10) is None
    assert (views.compared, views.equal) == (10, 10)


def test_a_difference_that_stays_is_named():
    views, theirs = Views(Comparing()), {**ALL, "ghost": 1, "m7": 2}
    del theirs["m3"]
    fetch = compared(views, ALL, theirs)
    assert set(fetch.buckets) == {bucket_of(name) for name in ("ghost", "m3", "m7")}
    split = views.name(fetch, in_buckets(fetch, theirs), told(ALL), 90.0)
    assert (split.peer, split.since) == ("b", 0.0)
    assert (split.only_here, split.only_there, split.other) == (("m3",), ("ghost",), ("m7",))
    assert views.splits == (split,)


def test_a_difference_that_comes_and_goes_is_none():
    views = Views(Comparing())
    for turn in range(20):
        theirs = dict(ALL)
        theirs[f"joining-{turn}"] = 1  # another one each time, in whatever bucket
        if turn % 3 == 2:
            theirs = ALL
        assert views.compare(claim("a", turn, ALL.items()), claim("b", turn, theirs.items()), turn * 30.0) is None
    assert views.splits == ()


@pytest.mark.parametrize(("times", "every_s"), [(2, 100.0), (10, 5.0)], ids=["too few", "too soon"])
def test_it_takes_rounds_and_time(times, every_s):
    views = Views(Comparing(rounds=3, persist_s=60.0))
    assert compared(views, ALL, {**ALL, "ghost": 1}, times, every_s=every_s) is None


def test_what_this_member_learned_a_moment_ago_is_left_out():
    views, theirs = Views(Comparing(fresh_s=30.0)), dict(ALL)
    del theirs["m3"]
    fetch = compared(views, ALL, theirs)
    here = [(name, incarnation, 80.0 if name == "m3" else 0.0) for name, incarnation in ALL.items()]
    assert views.name(fetch, in_buckets(fetch, theirs), here, 90.0) is None


def test_entries_other_than_were_signed_are_not_believed():
    views, theirs = Views(Comparing()), {**ALL, "ghost": 1}
    fetch = compared(views, ALL, theirs)
    honest = in_buckets(fetch, theirs)
    elsewhere = next(name for name in ALL if bucket_of(name) not in fetch.buckets)
    for lie in (honest[1:], [*honest, ("another", 1)], [*honest, (elsewhere, 1)], [*honest, honest[0]]):
        assert not views.signed(fetch, lie)
        assert views.name(fetch, lie, told(ALL), 90.0) is None
    assert views.signed(fetch, honest)


def test_a_view_of_an_earlier_round_is_not_looked_at():
    views = Views(Comparing())
    compared(views, ALL, {**ALL, "ghost": 1})
    again = claim("b", 1, {**ALL, "ghost": 1}.items())
    assert views.compare(claim("a", 9, ALL.items()), again, 500.0) is None


def test_the_same_difference_is_reported_once_and_anew_after_it_was_healed():
    views, theirs = Views(Comparing()), {**ALL, "ghost": 1}
    reports = []
    for turn in range(8):
        view = ALL if turn == 4 else theirs
        fetch = views.compare(claim("a", turn, ALL.items()), claim("b", turn, view.items()), turn * 60.0)
        if fetch is not None:
            reports.append(views.name(fetch, in_buckets(fetch, view), told(ALL), turn * 60.0))
        if turn == 4:
            assert views.splits == ()
    assert [report is not None for report in reports] == [True, False, True]


def test_one_does_not_differ_from_oneself_and_a_claim_of_another_shape_is_none():
    views = Views(Comparing())
    assert views.compare(claim("a", 1, ALL.items()), claim("a", 2, []), 0.0) is None
    short = claim("b", 1, [])
    assert views.compare(claim("a", 1, ALL.items()), type(short)("b", 1, 0, short.buckets[:3]), 0.0) is None
    assert views.compared == 0


@pytest.mark.parametrize("data", [b"", b"\xc0", b"\x91\x92\xc4\x01a\xff", b"\x91" * 2_000, b"\x91\x91\x01",
                                  b"\x92" + b"\x92\xc4\x01a\x01" * 2],
                         ids=["empty", "nil", "below", "deep", "one", "many"])
def test_what_is_no_list_of_entries_is_a_bad_packet(data):
    with pytest.raises(BadPacket):
        decode_entries(data, Comparing(entries_max=1 if data.startswith(b"\x92") else 4_096))


def test_a_claim_and_entries_come_out_as_they_went_in():
    ours = claim("\udcff", 7, ALL.items())
    assert decode(encode(ours, b"signature")) == (ours, b"signature")
    assert decode_entries(encode_entries([("\udcff", 3), ("b", 0)]), Comparing()) == [("\udcff", 3), ("b", 0)]
    assert len(encode(ours, bytes(64))) < 700


def test_peers_have_a_bound():
    views = Views(Comparing(peers_max=5))
    for number in range(50):
        views.compare(claim("a", number, ALL.items()), claim(f"p{number}", 1, []), 0.0)
    assert len(views._peers) == 5


def test_members_are_spread_over_the_buckets_and_hashes_tell_entries_apart():
    assert len({bucket_of(name) for name in ALL}) > BUCKETS * 3 // 4
    assert bucket_hash([("ab", 1)]) != bucket_hash([("a", 1), ("b", 1)])
    assert bucket_hash([("a", 1), ("b", 2)]) == bucket_hash([("b", 2), ("a", 1)])


def test_settings_without_sense_are_refused():
    with pytest.raises(ConfigurationError, match="views"):
        Comparing(rounds=0)
