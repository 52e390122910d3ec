# SPDX-License-Identifier: Apache-2.0
"""Who gives way, who is banned, who says too much, who is dead."""

from __future__ import annotations

import random

import pytest

from holdfast.propagation.peers import Liveness, Present, Rates, Standing, admit


def present(number, group="10.0.0.0/16", since_s=0.0, **said):
    return Present(number, group, since_s, **said)


class TestPlaces:
    def test_as_long_as_there_is_one_anybody_comes_in(self):
        assert admit("11.0.0.0/16", [present(1)], most=2, of_group=5) == (True, None)

    def test_one_part_of_the_network_gets_so_many(self):
        assert admit("10.0.0.0/16", [present(1), present(2)], most=9, of_group=2).free is False

    def test_the_youngest_in_the_most_crowded_part_gives_way(self):
        crowd = [present(number, since_s=float(number)) for number in range(1, 10)]
        others = [present(number, f"{number}.0.0.0/16", since_s=100.0 + number) for number in range(11, 14)]
        assert admit("99.0.0.0/16", [*crowd, *others], most=12, of_group=12) == (True, 9)

    def test_whoever_is_quick_or_useful_or_old_stays(self):
        good = [present(1, since_s=50.0, rtt_s=0.001), present(2, since_s=51.0, useful=9.0), present(3, since_s=1.0)]
        rest = [present(4, since_s=49.0, rtt_s=0.5)]
        assert admit("99.0.0.0/16", [*good, *rest], most=4, of_group=9) == (True, 4)
        assert admit("99.0.0.0/16", good, most=3, of_group=9).gives_way in {1, 2, 3}  # too few places to keep any


class TestStanding:
    def test_a_lie_is_a_ban_and_bad_luck_adds_up(self):
        standing = Standing()
        assert standing.blame("liar", "signature", 0.0, host="10.0.0.1") is not None
        assert standing.banned("liar", 1.0)
        assert standing.banned("10.0.0.1", 1.0)
        for _ in range(99):
            assert standing.blame("loud", "rate", 0.0) is None
        assert not standing.banned("loud", 0.0)
        assert standing.blame("loud", "rate", 0.0) is not None

    def test_a_ban_ends_and_the_next_one_is_longer(self):
        standing = Standing()
        first = standing.blame("liar", "signature", 0.0)
        assert not standing.banned("liar", first.until)
        second = standing.blame("liar", "signature", first.until)
        assert second.until - first.until == 2 * first.until

    def test_both_fade(self):
        standing = Standing()
        for _ in range(90):
            standing.blame("loud", "rate", 0.0)
        assert standing.blame("loud", "addresses", 600.0) is None  # 45 and 10
        standing.praise("good", 0.0, 8.0)
        assert standing.useful("good", 600.0) == pytest.approx(4.0)
        assert standing.score("good", 600.0) > standing.score("new", 600.0) == 0.0 > standing.score("loud", 600.0)

    def test_only_so_many_are_remembered(self):
        standing = Standing()
        for number in range(standing.acts.entries + 5):
            standing.praise(f"node {number}", 0.0)
        assert standing.useful("node 0", 0.0) == 0.0
        assert standing.useful("node 10", 0.0) == 1.0

    def test_what_nobody_listed_is_held_against_somebody_all_the_same(self):
        standing = Standing()
        assert standing.blame("odd", "a reason of a relay", 0.0) is None
        assert standing.blame("odd", "a reason of a relay", 0.0) is not None


class TestRates:
    def test_a_burst_passes_and_then_so_much_a_second(self):
        rates = Rates(0.0, {"body": (2.0, 3.0)})
        assert [rates.allow("body", 1, 0.0) for _ in range(4)] == [True, True, True, False]
        assert [rates.allow("body", 1, 1.0) for _ in range(3)] == [True, True, False]

    def test_each_id_counts(self):
        rates = Rates(0.0, {"announce": (1.0, 10.0)})
        assert not rates.allow("announce", 11, 0.0)
        assert rates.allow("announce", 10, 0.0)

    def test_kinds_do_not_take_from_each_other(self):
        rates = Rates(0.0, {"body": (1.0, 1.0), "ping": (1.0, 1.0)})
        assert rates.allow("body", 1, 0.0)
        assert not rates.allow("body", 1, 0.0)
        assert rates.allow("ping", 1, 0.0)

    def test_of_bytes_nothing_is_dropped_and_reading_waits(self):
        rates = Rates(0.0, bytes_s=100.0, at_once=1000.0)
        assert rates.pause_s(1000, 0.0) == 0
        assert rates.pause_s(50, 0.0) == pytest.approx(0.5)
        assert rates.pause_s(50, 1.0) == 0


class TestLiveness:
    def test_a_ping_is_due_now_and_then_and_one_at_a_time(self):
        alive, chance = Liveness(0.0, every_s=10.0), random.Random(1)
        nonce = alive.due(0.0, chance)
        assert nonce is not None
        assert alive.due(5.0, chance) is None
        assert alive.answered(nonce, 0.5)
        assert alive.due(10.0, chance) is None
        assert alive.due(10.5, chance) not in {None, nonce}

    def test_the_time_to_answer_is_smoothed(self):
        alive, chance, now = Liveness(0.0, every_s=1.0), random.Random(1), 0.0
        for took in (0.1, 0.9):
            nonce = alive.due(now, chance)
            alive.answered(nonce, now + took)
            now += took + 1.0
        assert alive.rtt_s == pytest.approx(0.2)
        assert alive.least_s == pytest.approx(0.1)

    def test_an_answer_to_nothing_that_was_asked_is_none(self):
        alive = Liveness(0.0)
        assert not alive.answered(5, 1.0)
        nonce = alive.due(1.0, random.Random(1))
        assert not alive.answered(nonce + 1, 1.5)

    def test_who_does_not_answer_is_dead(self):
        alive = Liveness(0.0, dead_s=60.0)
        assert not alive.dead(1e9)
        alive.due(0.0, random.Random(1))
        assert not alive.dead(59.0)
        assert alive.dead(60.0)
