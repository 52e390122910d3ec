# SPDX-License-Identifier: Apache-2.0
"""Scores are bounded, are forgotten, say where they come from, and leave honest peers alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import ConfigurationError
from holdfast.gossip.defence.scores import Part, Scores, Scoring

DEEDS = ["first", "invalid", "repeat", "rate", "missing", "application"]
HOST = bytes([10, 0, 0, 1])


def scores(**changed):
    return Scores(Scoring(**changed))


courses = st.lists(st.tuples(st.sampled_from([*DEEDS, "connected", "disconnected"]), st.floats(0, 1e6),
                             st.floats(0, 5_000)), max_size=60)


def lived(course, table=None):
    table, now = scores() if table is None else table, 0.0
    for deed, times, pause in course:
        now += pause
        if deed == "connected":
            table.connected("a", HOST, now)
        elif deed == "disconnected":
            table.disconnected("a", now)
        else:
            table.note("a", deed, now, times)
    return table, now


@given(courses)
def test_every_part_stays_within_its_bound_and_the_parts_make_the_sum(course):
    table, now = lived(course)
    found = table.score("a", now)
    for part, points in found.parts.items():
        bound = getattr(table.scoring, part).bound
        assert -bound <= points <= bound
        assert (points >= 0) if part in ("first", "uptime") else (points <= 0)
    assert found.total == pytest.approx(sum(found.parts.values()))


@given(courses)
def test_all_deeds_are_forgotten_in_a_time_that_can_be_said(course):
    table, now = lived(course)
    table.disconnected("a", now)
    # The largest count there can be is 100: 18 half-lives leave less than a thousandth of it.
    later = now + 18 * table.scoring.half_life_s
    assert table.total("a", later) == 0.0
    table.tidy(later)
    assert "a" not in table


@given(st.sampled_from(["invalid", "rate", "missing", "application"]), st.floats(1, 1e9),
       st.lists(st.floats(0, 2_000), min_size=2, max_size=20))
def test_a_bad_deed_weighs_less_as_time_goes(deed, times, pauses):
    table, now = scores(), 0.0
    table.note("a", deed, now, times)
    last = table.total("a", now)
    for pause in pauses:
        now += pause
        assert last <= table.total("a", now) <= 0
        last = table.total("a", now)


def test_a_bad_deed_is_half_forgotten_after_a_half_life():
    table = scores(half_life_s=100.0)
    table.note("a", "invalid", 0.0, 4)
    assert [table.total("a", at) for at in (0.0, 100.0, 200.0)] == [-40.0, -20.0, -10.0]


def test_more_of_it_does_not_take_longer_to_forget():
    few, many = scores(), scores()
    few.note("a", "invalid", 0.0, 20)
    many.note("a", "invalid", 0.0, 1e12)
    assert few.total("a", 5_000.0) == many.total("a", 5_000.0)


def test_good_deeds_buy_no_licence():
    table = scores()
    table.connected("a", HOST, 0.0)
    day = 86_400.0
    table.note("a", "first", day, 1e9)
    assert table.total("a", day) == 30.0
    table.note("a", "invalid", day, 8)
    assert table.score("a", day).standing == "graylist"
    table.note("a", "invalid", day, 4)
    assert table.score("a", day).standing == "ban"


def test_a_quiet_peer_pays_nothing_however_long_it_is_quiet():
    table = scores()
    table.connected("quiet", HOST, 0.0)
    assert all(table.total("quiet", hour * 3_600.0) >= 0 for hour in range(100))


def test_an_honest_peer_that_repeats_itself_by_chance_pays_nothing():
    table = scores()
    for number in range(200):
        table.delivered("a", float(number))  # never the first: its way is long
        table.note("a", "repeat", float(number), 3)
    assert table.score("a", 200.0).parts["repeat"] == 0.0


def test_a_peer_that_only_repeats_itself_pays():
    table = scores()
    for number in range(200):
        table.note("a", "repeat", float(number))
    assert table.score("a", 200.0).parts["repeat"] == pytest.approx(-40.0, abs=0.1)


def test_rate_alone_reaches_the_graylist_and_no_ban():
    table = scores()
    table.note("a", "rate", 0.0, 1e9)
    assert table.score("a", 0.0).standing == "graylist"


def test_a_crowd_at_one_address_pays_by_its_square_and_others_do_not():
    table = scores()
    for number in range(8):
        table.connected(f"sybil-{number}", HOST, 0.0)
    table.connected("alone", bytes([10, 0, 0, 2]), 0.0)
    assert table.score("sybil-0", 0.0).parts["colocation"] == -80.0
    assert table.score("sybil-0", 0.0).standing == "graylist"
    assert table.score("alone", 0.0).parts["colocation"] == 0.0
    for number in range(8, 100):
        table.connected(f"sybil-{number}", HOST, 0.0)
    assert table.score("sybil-0", 0.0).parts["colocation"] == -80.0
    for number in range(4, 100):
        table.disconnected(f"sybil-{number}", 1.0)
    assert table.score("sybil-0", 1.0).parts["colocation"] == 0.0


@given(courses)
def test_a_peer_is_heard_exactly_where_its_score_is_above_the_graylist(course):
    table, now = lived(course)
    for number in range(5):
        table.connected(f"neighbour-{number}", HOST, now)
    assert table.heard("a", now) == (table.total("a", now) >= table.scoring.graylist)
    assert table.heard("stranger", now)


def test_a_peer_that_moves_is_counted_at_one_address():
    table = scores()
    for port in range(20):
        table.connected("a", bytes([10, 0, 0, port]), 0.0)
    table.connected("a", HOST, 0.0)
    assert sum(table._at_address.values()) == 1


def test_a_peer_that_comes_back_is_who_it_was():
    table = scores()
    table.connected("a", HOST, 0.0)
    table.note("a", "invalid", 0.0, 10)
    table.disconnected("a", 1.0)
    table.connected("a", HOST, 2.0)
    assert table.total("a", 2.0) < -99


def test_peers_by_standing_and_the_worst_first():
    table = scores()
    for peer, deed, times in (("worst", "invalid", 10), ("gray", "invalid", 5), ("bad", "invalid", 1),
                              ("good", "first", 5)):
        table.note(peer, deed, 0.0, times)
    table.connected("new", HOST, 0.0)
    assert table.distribution(0.0) == {"banned": 1, "graylisted": 1, "negative": 1, "zero": 1, "positive": 1}
    assert [one.peer for one in table.all(0.0)] == ["worst", "gray", "bad", "new", "good"]


def test_records_have_a_bound_and_take_their_address_with_them():
    table = scores(peers_max=5)
    for number in range(50):
        table.connected(f"p{number}", HOST, 0.0)
    assert len(table) == 5
    assert table._at_address[HOST] == 5


@pytest.mark.parametrize("changed", [{"half_life_s": 0}, {"graylist": 1.0}, {"ban": -1.0},
                                     {"invalid": Part(1.0, 0.0)}], ids=["life", "gray", "ban", "bound"])
def test_settings_without_sense_are_refused(changed):
    with pytest.raises(ConfigurationError, match="scores"):
        Scoring(**changed)
