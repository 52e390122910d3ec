# SPDX-License-Identifier: Apache-2.0
"""Order within a key, against a model that looks at everything every time."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from holdfast.consume.contract import Verb
from holdfast.consume.order import Freed, KeyOrder, Turn, pair

A, B, C = (1, 0), (1, 1), (2, 0)


def test_ids_are_ordered_as_numbers():
    assert pair(b"1526919030474-55") == (1526919030474, 55)
    assert pair(b"1-99") < pair(b"1-100")


def test_the_lowest_pending_of_a_key_runs_and_the_others_wait():
    order = KeyOrder()
    assert [order.offer(A, "k"), order.offer(B, "k"), order.offer(C, "other")] == [Turn.RUN, Turn.HOLD, Turn.RUN]
    assert order.settled(A, Verb.ACK) == Freed(run=(B,))
    assert order.settled(B, Verb.ACK) == Freed()


def test_without_a_key_nothing_is_held():
    order = KeyOrder(held_max=1)
    assert [order.offer(entry, None) for entry in (A, B, C)] == [Turn.RUN] * 3
    assert order.settled(A, Verb.BURY) == Freed()


@pytest.mark.parametrize("verb", [Verb.PARK, Verb.RELEASE, Verb.STOW])
def test_a_parked_head_holds_back_its_key_until_it_is_done(verb):
    order = KeyOrder()
    order.offer(A, "k"), order.offer(B, "k")
    assert order.settled(A, verb) == Freed()
    assert order.offer(C, "k") is Turn.HOLD
    assert order.offer(A, "k") is Turn.RUN
    assert order.settled(A, Verb.ACK) == Freed(run=(B,))


def test_what_was_pending_before_a_restart_is_in_front():
    order = KeyOrder()
    order.restore([(A, "k"), (B, None)])
    assert order.offer(C, "k") is Turn.HOLD
    assert order.offer(A, "k") is Turn.RUN
    assert order.settled(A, Verb.ACK) == Freed(run=(C,))


def test_a_lower_id_that_appears_late_waits_for_what_runs_and_then_goes_first():
    order = KeyOrder()
    assert order.offer(B, "k") is Turn.RUN
    assert order.offer(C, "k") is Turn.HOLD
    assert order.offer(A, "k") is Turn.HOLD
    assert order.settled(B, Verb.PARK) == Freed(run=(A,))
    assert order.settled(A, Verb.ACK) == Freed()
    assert order.offer(B, "k") is Turn.RUN


def test_an_entry_that_somebody_else_settled_frees_the_next():
    order = KeyOrder()
    order.restore([(A, "k")])
    order.offer(B, "k")
    assert order.forget(A) == Freed(run=(B,))
    assert order.forget(A) == Freed()


def test_a_dead_head_lets_the_next_one_run():
    order = KeyOrder(on_death="continue")
    order.offer(A, "k"), order.offer(B, "k")
    assert order.settled(A, Verb.BURY) == Freed(run=(B,))


def test_a_dead_head_takes_what_follows_with_it():
    order = KeyOrder(on_death="bury-following")
    order.offer(A, "k"), order.offer(C, "k"), order.offer(B, "k"), order.offer((9, 9), "other")
    assert order.settled(A, Verb.BURY) == Freed(bury=(B, C))
    assert order.held == 0
    assert order.offer((3, 0), "k") is Turn.BURY
    assert order.offer((9, 10), "other") is Turn.HOLD
    for entry in (B, C, (3, 0)):
        assert order.settled(entry, Verb.BURY) == Freed()
    order.revive("k")
    assert order.offer((4, 0), "k") is Turn.RUN


def test_dead_keys_are_remembered_across_a_restart():
    order = KeyOrder(on_death="bury-following", dead_keys={"k"})
    assert order.offer(A, "k") is Turn.BURY


def test_too_many_held_pause_the_partition():
    order = KeyOrder(held_max=2)
    order.offer(A, "k"), order.offer(B, "k")
    assert not order.paused
    order.offer(C, "k"), order.offer(C, "k")
    assert order.paused
    order.settled(A, Verb.ACK)
    assert not order.paused


def test_nothing_is_kept_about_keys_that_are_done():
    order = KeyOrder()
    for n in range(1000):
        order.offer((n, 0), str(n))
        order.settled((n, 0), Verb.ACK)
    assert not order._lines
    assert not order._keys


class Against(RuleBasedStateMachine):
    """Offers and settlements in any order. The model keeps who is pending and who runs, and looks at all of it."""

    def __init__(self) -> None:
        super().__init__()
        self.order = KeyOrder(held_max=5)
        self.pending: dict[tuple[int, int], str] = {}
        self.running: set[tuple[int, int]] = set()
        self.here: set[tuple[int, int]] = set()  # delivered and waiting
        self.used: set[tuple[int, int]] = set()

    def may_run(self, entry) -> bool:
        same = [other for other, key in self.pending.items() if key == self.pending[entry]]
        return min(same) == entry and not self.running & set(same)

    def runnable(self) -> set:
        return {entry for entry in self.here if self.may_run(entry)}

    def apply(self, freed: Freed) -> None:
        for entry in freed.run:
            assert entry in self.here
            assert self.may_run(entry)
            self.here.discard(entry)
            self.running.add(entry)

    @rule(entry=st.tuples(st.integers(0, 4), st.integers(0, 12)), key=st.sampled_from("abc"))
    def offer(self, entry, key) -> None:
        if entry in self.used and entry not in self.pending:
            return  # settled: ids are never reused
        self.used.add(entry)
        key = self.pending.setdefault(entry, key)
        if entry in self.running:
            return  # the worker never offers what it runs
        self.here.add(entry)
        turn = self.order.offer(entry, key)
        assert (turn is Turn.RUN) == self.may_run(entry)
        if turn is Turn.RUN:
            self.here.discard(entry)
            self.running.add(entry)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), verb=st.sampled_from([Verb.ACK, Verb.PARK, Verb.BURY, Verb.RELEASE]))
    def settle(self, data, verb) -> None:
        entry = data.draw(st.sampled_from(sorted(self.running)))
        self.running.discard(entry)
        if verb in (Verb.ACK, Verb.BURY):
            del self.pending[entry]
        self.apply(self.order.settled(entry, verb))

    @precondition(lambda self: self.here)
    @rule(data=st.data())
    def settled_by_somebody_else(self, data) -> None:
        entry = data.draw(st.sampled_from(sorted(self.here)))
        self.here.discard(entry)
        del self.pending[entry]
        self.apply(self.order.forget(entry))

    @invariant()
    def nobody_who_may_run_is_left_waiting(self) -> None:
        assert not self.runnable()

    @invariant()
    def one_of_a_key_runs(self) -> None:
        keys = [self.pending[entry] for entry in self.running]
        assert len(keys) == len(set(keys))

    @invariant()
    def held_is_counted(self) -> None:
        assert self.order.held == len(self.here)
        assert self.order.paused == (len(self.here) >= 5)


TestAgainstTheModel = Against.TestCase
TestAgainstTheModel.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
