# SPDX-License-Identifier: Apache-2.0
"""The line of an ordered consumer: deliveries in, those that may run out, main and replay stream as one."""

from __future__ import annotations

import random

from holdfast.consume.contract import Verb
from holdfast.consume.lineup import LineUp
from tests.support.consuming import FakeOrigin, delivery


class Lane(FakeOrigin):
    """Main or replay stream of a group: one line together."""

    def __init__(self, *, replay=False):
        super().__init__("orders:replay" if replay else "orders")
        self.line, self.is_replay = "orders", replay


def numbers(deliveries):
    return [int(d.entry_id[:-2]) for d in deliveries]


def test_one_of_a_key_runs_the_others_wait_and_follow_in_order():
    line, origin = LineUp(100, "continue"), Lane()
    a1, b2, a3, a4 = (delivery(origin, n, key=key) for n, key in ((1, "a"), (2, "b"), (3, "a"), (4, "a")))
    assert numbers(line.arrived([a1, b2, a3, a4]).run) == [1, 2]
    assert numbers(line.settled(a1, Verb.ACK).run) == [3]
    assert numbers(line.settled(b2, Verb.ACK).run) == []
    assert numbers(line.settled(a3, Verb.ACK).run) == [4]


def test_entries_without_key_never_wait():
    line, origin = LineUp(100, "continue"), Lane()
    assert numbers(line.arrived([delivery(origin, n) for n in (1, 2, 3)]).run) == [1, 2, 3]


def test_a_parked_head_holds_its_key_until_it_comes_back():
    line, origin = LineUp(100, "continue"), Lane()
    a1, a2 = delivery(origin, 1, key="a"), delivery(origin, 2, key="a")
    line.arrived([a1, a2])
    assert line.settled(a1, Verb.PARK).run == []
    assert numbers(line.arrived([a1]).run) == [1]
    assert numbers(line.settled(a1, Verb.ACK).run) == [2]


def test_what_is_pending_elsewhere_goes_first():
    """A restart: the pending list says that a lower one of the key is parked, before anything new is read."""
    line, origin = LineUp(100, "continue"), Lane()
    line.restore(origin, [(b"1-0", "a")])
    a1, a2 = delivery(origin, 1, key="a"), delivery(origin, 2, key="a")
    assert line.arrived([a2]).run == []
    assert numbers(line.arrived([a1]).run) == [1]
    assert numbers(line.settled(a1, Verb.ACK).run) == [2]


def test_after_a_dead_head_the_next_runs():
    line, origin = LineUp(100, "continue"), Lane()
    a1, a2 = delivery(origin, 1, key="a"), delivery(origin, 2, key="a")
    line.arrived([a1, a2])
    lined = line.settled(a1, Verb.BURY)
    assert (numbers(lined.run), lined.bury) == ([2], [])


def test_after_a_dead_head_what_follows_is_buried_until_it_is_replayed():
    line, origin, replay = LineUp(100, "bury-following"), Lane(), Lane(replay=True)
    a1, a2, a3, a5 = (delivery(origin, n, key="a") for n in (1, 2, 3, 5))
    line.arrived([a1, a2])
    lined = line.settled(a1, Verb.BURY)
    assert (lined.run, numbers(lined.bury)) == ([], [2])
    assert numbers(line.arrived([a3]).bury) == [3]
    for each in (a2, a3):
        line.settled(each, Verb.BURY)
    replayed = delivery(replay, 4, key="a")
    assert numbers(line.arrived([replayed]).run) == [4]
    assert line.arrived([a5]).run == []
    assert numbers(line.settled(replayed, Verb.ACK).run) == [5]


def test_keys_that_died_before_this_process_stay_dead():
    line, origin = LineUp(100, "bury-following"), Lane()
    line.restore(origin, [], ["a"])
    assert numbers(line.arrived([delivery(origin, 1, key="a")]).bury) == [1]


def test_the_same_id_in_main_and_replay_stream_are_two_places():
    line, origin, replay = LineUp(100, "continue"), Lane(), Lane(replay=True)
    main, again = delivery(origin, 1, key="a"), delivery(replay, 1, key="a")
    assert line.arrived([main]).run == [main]
    assert line.arrived([again]).run == []
    assert line.settled(main, Verb.ACK).run == [again]


def test_too_much_held_pauses_reading():
    line, origin = LineUp(3, "continue"), Lane()
    held = [delivery(origin, n, key="a") for n in range(1, 5)]
    line.arrived(held[:3])
    assert not line.paused
    line.arrived(held[3:])
    assert line.paused
    line.settled(held[0], Verb.ACK)
    assert not line.paused


def test_what_is_forgotten_is_named_and_waits_no_more():
    line, origin, other = LineUp(100, "continue"), Lane(), FakeOrigin("elsewhere")
    line.arrived([delivery(origin, n, key="a") for n in (1, 2, 3)])
    line.arrived([delivery(other, n, key="a") for n in (1, 2)])
    assert numbers(line.forget(origin)) == [2, 3]
    assert numbers(line.drain()) == [2]
    assert line.drain() == []


def test_whatever_happens_a_key_runs_in_order_and_one_at_a_time(rng: random.Random):
    for _ in range(50):
        line, origin = LineUp(1000, "continue"), Lane()
        entries = {n: delivery(origin, n, key=rng.choice("abc")) for n in range(1, 31)}
        waiting, running, done, arrived = [], [], [], list(entries.values())
        while arrived or waiting or running:
            if arrived and rng.random() < 0.5:
                running += line.arrived([arrived.pop(0)]).run
            elif waiting and rng.random() < 0.5:
                running += line.arrived([waiting.pop(rng.randrange(len(waiting)))]).run
            elif running:
                one = running.pop(rng.randrange(len(running)))
                if rng.random() < 0.3:
                    waiting.append(one)
                    running += line.settled(one, Verb.PARK).run
                else:
                    done.append(one)
                    running += line.settled(one, Verb.ACK).run
            keys = [d.message.key for d in running]
            assert len(keys) == len(set(keys))
        for key in "abc":
            of_key = [int(d.entry_id[:-2]) for d in done if d.message.key == key]
            assert of_key == sorted(of_key)
        assert len(done) == 30
