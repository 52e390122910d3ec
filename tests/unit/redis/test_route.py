# SPDX-License-Identifier: Apache-2.0
"""Which node serves a slot, found through questions that a test answers."""

from __future__ import annotations

import pytest

from holdfast._redis.endpoint import Access, Endpoint
from holdfast._redis.route import ByCluster, BySentinel, owners
from holdfast.errors import ServerUnreachable

ONE, TWO = Endpoint("10.0.0.1", 1), Endpoint("10.0.0.2", 2)
SLOTS = [[0, 99, [b"10.0.0.1", 1, b"id"]], [100, 16383, [b"10.0.0.2", 2, b"id"], [b"10.0.0.3", 3, b"id"]]]


def answer(search, *replies):
    """Runs a search with these replies; the endpoints it asked, and what it found."""
    asked = []
    try:
        asked.append(next(search).endpoint)
        for reply in replies:
            step = search.throw(reply) if isinstance(reply, Exception) else search.send(reply)
            asked.append(step.endpoint)
    except StopIteration as done:
        return asked, done.value
    raise AssertionError(f"still asking {asked}")


def test_a_sentinel_that_is_down_is_passed_over():
    route = BySentinel(Access(), [ONE, TWO], Access(), "main")
    asked, found = answer(route.find(0), ServerUnreachable("down"), [b"10.0.0.9", b"6379"])
    assert asked == [ONE, TWO]
    assert found == route.known(0) == Endpoint("10.0.0.9", 6379)


def test_forgetting_asks_the_sentinels_again():
    route = BySentinel(Access(), [ONE], Access(), "main")
    answer(route.find(0), [b"10.0.0.9", b"6379"])
    route.forget()
    assert route.known(0) is None


def test_no_sentinel_that_knows_the_service_says_who_was_asked():
    route = BySentinel(Access(), [ONE, TWO], Access(), "main")
    with pytest.raises(ServerUnreachable, match=r"10\.0\.0\.1:1: down.*10\.0\.0\.2:2: knows no service 'main'"):
        answer(route.find(0), ServerUnreachable("down"), None)


def test_a_cluster_is_asked_once_for_all_slots():
    route = ByCluster(Access(), [ONE])
    assert answer(route.find(50), SLOTS) == ([ONE], ONE)
    assert route.known(99) == ONE
    assert route.known(100) == TWO
    assert route.masters() == (ONE, TWO)


def test_moved_counts_at_once():
    route = ByCluster(Access(), [ONE])
    answer(route.find(50), SLOTS)
    route.moved(50, TWO)
    assert route.known(50) == TWO
    assert route.known(51) == ONE


def test_a_cluster_whose_seed_is_gone_is_asked_elsewhere():
    route = ByCluster(Access(), [ONE])
    answer(route.find(50), SLOTS)
    route.forget()
    asked, _ = answer(route.find(50), ServerUnreachable("down"), SLOTS)
    assert asked == [ONE, TWO]


def test_a_node_without_a_host_is_the_one_asked():
    assert owners([[0, 16383, [b"", 7, b"id"]]], ONE)[5] == Endpoint("10.0.0.1", 7)
    assert owners([[0, 16383, [None, 7, b"id"]]], ONE)[5] == Endpoint("10.0.0.1", 7)


def test_addresses_are_remapped():
    route = ByCluster(Access(), [ONE], lambda address: ("outside", address[1] + 1000))
    assert answer(route.find(0), SLOTS)[1] == Endpoint("outside", 1001)
    route.moved(0, TWO)
    assert route.known(0) == Endpoint("outside", 1002)


def test_an_endpoint_never_shows_credentials():
    assert "hunter2" not in repr(Access(options={"password": "hunter2"}))
