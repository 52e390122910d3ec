# SPDX-License-Identifier: Apache-2.0
"""Lock, token and guard in every order of events there is, in a small world; first the explorer that goes through them.

What must hold is explored to its end; what must not is found, and its shortest trace is compared step by step.
"""

from __future__ import annotations

import pytest

from holdfast.testing import TooManyStates, explore
from tests.sim.lock_model import LockModel, State

#: Clocks err, and by less than the margin of 6.
WITHIN = {"step": 2, "behind": 2, "ticks": 5}


def pours(jugs):
    """Lamport's puzzle: jugs of 3 and 5 gallons, a tap and a drain."""
    small, big = jugs
    into_big, into_small = min(small, 5 - big), min(big, 3 - small)
    yield "fill small", (3, big)
    yield "fill big", (small, 5)
    yield "empty small", (0, big)
    yield "empty big", (small, 0)
    yield "small into big", (small - into_big, big + into_big)
    yield "big into small", (small + into_small, big - into_small)


def up_to(last):
    """A world of ``last`` + 1 states in a row."""
    return lambda at: [("next", at + 1)] if at < last else []


# -- the explorer


def test_the_trace_is_one_of_the_shortest():
    """Of the two ways round a ring of 12, the one of 3 steps."""
    found = explore([0], lambda at: [("back", (at - 1) % 12), ("on", (at + 1) % 12)], {"not nine": lambda at: at != 9})
    assert found.steps == ("back", "back", "back")


def test_a_trace_reads_as_steps():
    found = explore([(0, 0)], pours, {"never four": lambda jugs: jugs[1] != 4})
    assert found.steps == ("fill big", "big into small", "empty small", "big into small", "fill big", "big into small")
    assert [step.state for step in found.trace] == [(0, 0), (0, 5), (3, 2), (0, 2), (2, 0), (2, 5), (3, 4)]
    assert "'never four' is violated after 6 steps" in found.explain()
    assert "  1. fill big\n  2. big into small\n" in found.explain()


def test_all_that_can_be_reached_is_counted():
    found = explore([(0, 0)], pours, {"never more than eight": lambda jugs: sum(jugs) <= 8})
    assert (found.ok, found.states, found.transitions, found.steps) == (True, 16, 96, ())
    assert found.explain() == "every invariant holds in 16 states, 96 transitions"


def test_a_start_that_is_wrong_is_found():
    found = explore([7, 0], up_to(9), {"not seven": lambda at: at != 7})
    assert (found.violated, found.steps, [step.state for step in found.trace]) == ("not seven", (), [7])


def test_a_loop_is_gone_through_once():
    looked_at = []

    def round_and_round(at):
        looked_at.append(at)
        assert len(looked_at) <= 5, "or it goes on for ever"
        return [("on", (at + 1) % 5)]

    found = explore([0], round_and_round, {})
    assert (found.states, found.transitions) == (5, 5)


def test_a_world_too_large_is_given_up():
    assert explore([0], up_to(9), {}, states_max=10).states == 10
    with pytest.raises(TooManyStates, match=r"after 10 states, at 10 steps from the start\. Give the model fewer"):
        explore([0], up_to(10), {}, states_max=10)


def test_states_of_one_key_are_looked_at_once():
    def one_more(pair):
        a, b = pair
        return [("a", (a + 1, b)), ("b", (a, b + 1))] if a + b < 3 else []

    assert explore([(0, 0)], one_more, {}).states == 10
    assert explore([(0, 0)], one_more, {}, key=lambda pair: tuple(sorted(pair))).states == 6


# -- what holds


@pytest.mark.parametrize("model", [
    pytest.param(LockModel(wait=True, step=4, behind=8, record_kept=False, ticks=5), id="wait, clocks as they like"),
    pytest.param(LockModel(wait=True, step=3, clock_tokens=False, record_kept=False), id="wait, counted tokens"),
    pytest.param(LockModel(wait=True, behind=8, failovers=2, record_kept=False), id="wait, two failovers"),
    pytest.param(LockModel(**WITHIN), id="no wait, clocks within the margin"),
    pytest.param(LockModel(behind=2, failovers=2, ticks=5), id="no wait, two failovers, clocks within the margin"),
    pytest.param(LockModel(record_kept=False), id="no wait, clocks right"),
])
def test_the_guard_keeps_the_order(model):
    found = model.explore()
    assert found.ok, found.explain()
    assert found.states > 10_000, "a world in which little happens proves little"


def test_without_faults_and_pauses_the_lease_alone_keeps_the_order():
    found = LockModel(guard=False, pauses=False, failovers=0).explore()
    assert found.ok, found.explain()


def test_one_token_given_twice_does_not_let_both_in():
    """Two acquisitions, counted tokens, no WAIT: the failover makes the second token equal to the first."""
    def tokens_differ(state: State) -> bool:
        told = [hold.token for hold in state.holds if hold.told]
        return len(set(told)) == len(told)

    twice = LockModel(clock_tokens=False, acquisitions=2)
    assert twice.explore({"tokens differ": tokens_differ}).violated, "or there is nothing for the guard to do"
    found = twice.explore()
    assert found.ok, found.explain()


@pytest.mark.parametrize("model", [LockModel(wait=True, ticks=5), LockModel(**WITHIN)], ids=["wait", "margin"])
def test_what_holds_holds_in_a_world_where_things_happen(model):
    """The paused holder is refused, and who came after the failover has written: both are reached."""
    def tame(state: State) -> bool:
        after = {str(hold.number) for hold in state.holds if hold.run == 2}
        late = any(hold.told and hold.run == 1 and state.now >= hold.deadline for hold in state.holds)
        return not (late and state.writes and state.writes[-1].acquisition in after)

    assert model.explore({"never": tame}).violated == "never"


# -- what does not hold, and has to be found


def test_without_a_guard_a_paused_holder_is_found():
    """Kleppmann's first picture: told in time, paused, and back when the next one has written."""
    found = LockModel(guard=False, failovers=0).explore()
    assert found.violated == "tokens grow"
    assert len(found.steps) == 9, found.explain()
    assert found.steps.count("a tick") == 3, "the lease has run out on the server; nobody's clock was wrong"
    assert found.steps[0] == "1 is granted with token 1"
    assert found.steps[-4:] == ("2 is granted with token 3", "2 is told", "2 writes with token 3",
                                "1 writes with token 1")


def test_without_a_guard_a_failover_is_found_though_nobody_pauses():
    found = LockModel(guard=False, pauses=False).explore()
    assert found.steps == (
        "1 is granted with token 1", "1 is told", "failover: grants are lost, clock +0", "2 is granted with token 6",
        "2 is told", "2 writes with token 6", "1 writes with token 1"), found.explain()


def test_without_a_guard_a_step_of_the_servers_clock_is_found_though_nobody_pauses():
    found = LockModel(guard=False, pauses=False, failovers=0, step=3).explore()
    assert len(found.steps) == 7, found.explain()
    assert found.steps[2] == "the server's clock steps by +3"
    assert found.steps[-2:] == ("2 writes with token 3", "1 writes with token 1")


def test_wait_without_a_guard_is_not_enough():
    """``WAIT`` keeps a grant through a failover. It does not wake a holder in time."""
    found = LockModel(guard=False, wait=True).explore()
    assert found.violated == "tokens grow"
    assert not any("failover" in step for step in found.steps), found.explain()


def test_a_counted_token_without_wait_is_found():
    """Plain ``INCR``: the failover takes the counter back, and the guard takes the earlier holder for the later one."""
    found = LockModel(clock_tokens=False).explore()
    assert found.violated == "order is kept", "the guard saw tokens that grow: 1, then 2"
    assert len(found.steps) == 11, found.explain()
    assert found.steps[-7:] == (
        "2 is granted with token 2", "2 is told", "failover: grants are lost, clock +0", "3 is granted with token 1",
        "3 is told", "3 writes with token 1", "2 writes with token 2")


def test_clocks_that_differ_by_more_than_the_margin_are_found():
    """Each of the two within it, together not: the margin is for the distance between two servers."""
    found = LockModel(step=3, behind=4).explore()
    assert found.steps == (
        "the server's clock steps by +3", "1 is granted with token 3", "1 is told",
        "failover: grants are lost, clock -4", "2 is granted with token 2", "2 is told", "2 writes with token 2",
        "1 writes with token 3"), found.explain()


def test_a_lost_first_grant_has_no_margin():
    """Without ``lock_clock`` nobody knows of another server: see the model's docstring."""
    found = LockModel(behind=1, record_kept=False).explore()
    assert found.violated == "order is kept"
    lost = found.steps.index("failover: grants are lost, clock -1")
    assert all(step == "a tick" for step in found.steps[:lost - 2]), found.explain()


def test_a_margin_lost_between_two_failovers_is_found():
    found = LockModel(behind=1, failovers=2, record_kept=False).explore()
    assert found.steps == (
        "failover: no grant is lost, clock +0", "1 is granted with token 6", "1 is told",
        "failover: grants are lost, clock -1", "2 is granted with token 5", "2 is told", "2 writes with token 5",
        "1 writes with token 6"), found.explain()
