# SPDX-License-Identifier: Apache-2.0
"""One worker id and its windows in every order of events there is, in a small world.

What must hold is explored to its end; what must not is found, and its shortest trace is compared step by step.
"""

from __future__ import annotations

import pytest

from tests.sim.ids_model import IdsModel, State

#: Three holds one after the other, which renew nothing: that would be too many states.
THREE = {"holds": 3, "renewals": 0}


# -- what holds


@pytest.mark.parametrize("model", [
    pytest.param(IdsModel(failovers=0, step=3, ticks=4), id="one server, its clock steps"),
    pytest.param(IdsModel(failovers=0, renewals=2), id="one server, two renewals"),
    pytest.param(IdsModel(), id="no wait, clocks right"),
    pytest.param(IdsModel(behind=1), id="no wait, clocks within the margin"),
    pytest.param(IdsModel(failovers=2), id="no wait, two failovers"),
    pytest.param(IdsModel(**THREE), id="no wait, three holds"),
    pytest.param(IdsModel(wait=True, behind=3, step=3, ticks=3), id="wait, clocks as they like"),
    pytest.param(IdsModel(wait=True, failovers=2, record_kept=False, ticks=3), id="wait, two failovers, record lost"),
    pytest.param(IdsModel(wait=True, leases=(1, 4), ticks=4), id="wait, windows of two lengths"),
])
def test_windows_of_one_worker_id_are_apart(model):
    found = model.explore()
    assert found.ok, found.explain()
    assert found.states > 5_000, "a world in which little happens proves little"


@pytest.mark.parametrize("model", [
    pytest.param(IdsModel(ids=True, failovers=0, renewals=0, ticks=4), id="one server"),
    pytest.param(IdsModel(ids=True, releases=False, margin=0, ticks=4), id="a failover"),
])
def test_no_id_is_made_twice(model):
    """The same, looked at from its end: of each moment there is one who makes ids."""
    found = model.explore()
    assert found.ok, found.explain()
    assert found.states > 5_000


def test_nobody_waits_for_a_clock_that_went_back():
    """Nobody waits longer than for the window before; without the offset, longer by as much as the clock went back."""
    def begins_soon(state: State) -> bool:
        return all(hold.waits <= hold.lease + 1 for hold in state.holds)

    stepping = {"failovers": 0, "step": 3, "renewals": 0}
    assert IdsModel(**stepping).explore({"begins soon": begins_soon}).ok
    found = IdsModel(**stepping, growing=False).explore({"begins soon": begins_soon})
    assert found.violated, "guard: an offset that only grows"
    assert "the store's clock steps by -3" in found.steps


def test_what_holds_holds_in_a_world_where_things_happen():
    """A failover forgets a hold that makes ids all the same, and whoever comes after it makes some too."""
    def tame(state: State) -> bool:
        forgotten = any(hold.last > state.primary.latest and hold.number != state.primary.owner for hold in state.holds)
        return not (state.run == 2 and forgotten and state.primary.owner and state.now == state.primary.first)

    assert IdsModel(ticks=6).explore({"never": tame}).violated == "never"


# -- what does not hold, and has to be found


def test_without_an_end_a_paused_hold_is_found():
    """The generator that never looks at its window: told in time, paused, and back when the next one makes ids."""
    found = IdsModel(not_after=False, ids=True, failovers=0).explore()
    assert found.violated == "no id twice", "guard: not_after"
    assert found.steps == (
        "1 is given 0 to 2", "a tick", "a tick", "a tick", "2 is given 3 to 5", "1 makes an id of 3",
        "2 makes an id of 3"), found.explain()


def test_without_a_barrier_a_failover_is_found():
    found = IdsModel(barrier=False).explore()
    assert found.steps == (
        "1 is given 0 to 2", "failover: something is lost, clock +0", "2 is given 0 to 2"), found.explain()


def test_a_renewal_over_a_lost_window_is_found():
    """Its own window had ended, the next one's was lost, and who took over knew of neither."""
    found = IdsModel(over_lost=True).explore()
    assert found.steps == (
        "1 is given 0 to 2", "a tick", "a tick", "a tick", "the replica catches up", "2 is given 3 to 5",
        "failover: something is lost, clock +0", "1 is extended to 5"), found.explain()


def test_a_window_that_reaches_beyond_the_barrier_is_found():
    """It begins behind an id that was ahead of the time, and lasts for a whole lease from there."""
    found = IdsModel(from_now=False, margin=0, **THREE).explore()
    assert found.steps == (
        "1 is given 0 to 2", "1 gives it back, up to 1", "2 is given 2 to 4", "failover: something is lost, clock +0",
        "3 is given 3 to 5"), found.explain()


def test_a_barrier_that_forgets_the_one_before_it_is_found():
    found = IdsModel(behind_barrier=False, failovers=2, **THREE).explore()
    assert found.steps == (
        "failover: nothing is lost, clock +0", "1 is given 4 to 6", "1 gives it back, up to 3",
        "the replica catches up", "2 is given 4 to 6", "failover: something is lost, clock +0",
        "3 is given 4 to 6"), found.explain()


@pytest.mark.parametrize(("model", "ways"), [
    pytest.param(IdsModel(behind=2), 1, id="a clock further behind than the margin"),
    pytest.param(IdsModel(failovers=2, record_kept=False), 2, id="the record of a failover lost in the next one"),
    pytest.param(IdsModel(leases=(1, 4)), 1, id="the first of the longer windows lost"),
])
def test_what_only_confirmation_covers_is_found_without_it(model, ways):
    """Known, and stated where ``replicas`` is explained; the same worlds with ``WAIT`` are among those that hold."""
    found = model.explore()
    assert found.violated == "windows are apart"
    assert sum("failover" in step for step in found.steps) == ways, found.explain()
