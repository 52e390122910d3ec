# SPDX-License-Identifier: Apache-2.0
"""A quorum lock over three servers in every order of events: the known counter-examples, their remedies, the fence."""

from __future__ import annotations

import pytest

from tests.sim.quorum_model import QuorumModel, Server, State, without_names

#: What the page on Redlock asks for: a restart waits for a lease, drift is bounded and allowed for, nobody pauses.
REMEDIES = {"restarts": True, "delayed": True, "drifts": True, "allowance": 1}
#: A majority has seen two tokens; and one server alone, from a client that died while it wrote its token back.
SEEN, SEEN_BY_ONE = (2, 2, 0), (2, 0, 0)
B_ENTERS = ("B asks", "B has the yes of server 3", "B has the yes of server 1", "B is in")
A_ENTERS = ("A asks", "A has the yes of server 1", "A has the yes of server 2", "A is in")


# -- the lock alone


def test_the_lock_excludes_where_nothing_fails():
    found = QuorumModel().explore()
    assert found.ok, found.explain()


def test_the_lock_excludes_with_delayed_restarts_bounded_drift_and_no_pauses():
    found = QuorumModel(**REMEDIES).explore()
    assert found.ok, found.explain()
    assert found.states > 5_000, "a world in which little happens proves little"


def test_a_paused_client_is_found():
    """Kleppmann's: it had its majority in time, sleeps, and is in when the next one has a majority too."""
    found = QuorumModel(pauses=True).explore()
    assert (found.violated, len(found.steps)) == ("one is in", 11), found.explain()
    assert found.steps.count("a tick") == 3, "a lease"
    assert found.steps.index("A is in") < found.steps.index("B asks")
    assert found.steps[-1] == "B is in"


@pytest.mark.parametrize(("fault", "happens"), [
    ("jumps", "server 1 has its clock jump"), ("restarts", "server 1 restarts and has forgotten")])
def test_one_server_that_forgets_is_found(fault, happens):
    """Two majorities of three have one server in common. When that one forgets, they have none."""
    found = QuorumModel(**{fault: True}).explore()
    assert found.steps == (*A_ENTERS, *B_ENTERS[:2], happens, *B_ENTERS[2:]), found.explain()


@pytest.mark.parametrize(("without", "happens"), [
    ({"delayed": False}, "server 1 restarts and has forgotten"), ({"allowance": 0}, "server 1 runs a tick ahead"),
    ({"jumps": True}, "server 1 has its clock jump"), ({"pauses": True}, "a tick")])
def test_each_of_the_remedies_is_needed(without, happens):
    found = QuorumModel(**{**REMEDIES, **without}).explore()
    assert found.violated == "one is in"
    assert happens in found.steps, found.explain()


# -- with tokens by majority, and a guard


def test_tokens_written_back_to_a_majority_fence_pauses_and_jumps():
    found = QuorumModel(fenced=True, pauses=True, jumps=True, tokens=SEEN_BY_ONE).explore()
    assert found.ok, found.explain()
    assert found.states > 10_000, "a world in which little happens proves little"


def test_a_token_that_is_not_written_back_can_be_smaller_than_the_last():
    found = QuorumModel(fenced=True, pauses=True, written_back=False, tokens=SEEN_BY_ONE).explore()
    assert (found.violated, len(found.steps)) == ("order is kept", 13), found.explain()
    assert found.steps.count("a tick") == 3, "a lease"
    assert found.steps[-2:] == ("B writes with token 1", "A writes with token 3")


def test_waiting_before_a_restart_repairs_the_lock_and_not_the_tokens():
    """With pauses, which is what the fence is for."""
    found = QuorumModel(fenced=True, pauses=True, restarts=True, delayed=True, tokens=SEEN).explore()
    assert (found.violated, len(found.steps)) == ("order is kept", 14), found.explain()
    assert "server 1 restarts and has forgotten" in found.steps
    assert found.steps[-2:] == ("B writes with token 1", "A writes with token 3")


def test_states_that_differ_by_the_servers_names_alone_have_one_key():
    a, b, up = Server("A", 3), Server("B", 2), Server()
    assert without_names(State((a, b, up))) == without_names(State((up, a, b)))
    assert without_names(State((a, a, up))) != without_names(State((a, b, up)))
