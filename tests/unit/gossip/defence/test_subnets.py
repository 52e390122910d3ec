# SPDX-License-Identifier: Apache-2.0
"""A place and an issuer hold so many members and no more, under whatever name an address goes."""

from __future__ import annotations

import ipaddress
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import ConfigurationError
from holdfast.gossip.defence.subnets import Places, Quota, neighbourhood


def quota(**changed):
    return Quota(Places(**{"v4": ((24, 2), (16, 3)), "v6": ((64, 2),), "per_issuer": 4, **changed}))


def test_a_network_holds_so_many():
    places = quota()
    assert places.admit("a", bytes([10, 1, 1, 1]), "") is None
    assert places.admit("b", bytes([10, 1, 1, 2]), "") is None
    assert places.admit("c", bytes([10, 1, 1, 3]), "") == "10.1.1.0/24"
    assert places.admit("c", bytes([10, 1, 2, 3]), "") is None
    assert places.admit("d", bytes([10, 1, 3, 1]), "") == "10.1.0.0/16"
    assert places.admit("d", bytes([10, 2, 3, 1]), "") is None


def test_who_leaves_makes_room():
    places = quota()
    for name, last in (("a", 1), ("b", 2)):
        places.admit(name, bytes([10, 1, 1, last]), "")
    places.release("a")
    assert places.admit("c", bytes([10, 1, 1, 3]), "") is None
    places.release("nobody")
    assert len(places) == 2


def test_an_ipv4_address_inside_ipv6_is_of_its_ipv4_network():
    places = quota()
    for name, last in (("a", 1), ("b", 2)):
        places.admit(name, bytes([10, 1, 1, last]), "")
    assert places.admit("c", bytes(10) + b"\xff\xff" + bytes([10, 1, 1, 3]), "") == "10.1.1.0/24"


def test_one_network_of_ipv6_is_one_however_many_addresses_it_has():
    places = quota()
    hosts = [ipaddress.ip_address(f"2001:db8:0:1::{number:x}").packed for number in range(3)]
    assert [places.admit(str(number), host, "") for number, host in enumerate(hosts)] == [
        None, None, "2001:db8:0:1::/64"]


def test_an_issuer_admits_so_many_wherever_they_are():
    places = quota()
    found = [places.admit(f"m{number}", bytes([10, number, 0, 1]), "one") for number in range(6)]
    assert found == [None] * 4 + ["issuer one"] * 2
    assert places.admit("other", bytes([10, 9, 0, 1]), "two") is None


def test_what_is_exempt_is_not_counted():
    places = quota(exempt=("10.0.0.0/8", "127.0.0.0/8"))
    assert all(places.admit(f"m{number}", bytes([10, 1, 1, number]), "") is None for number in range(50))
    assert places.admit("home", "127.0.0.1", "") is None
    assert places.used() == {}


def test_a_member_that_moves_is_counted_once_and_keeps_its_place_where_there_is_no_room():
    places = quota()
    places.admit("a", bytes([10, 1, 1, 1]), "")
    assert places.admit("a", bytes([10, 1, 1, 9]), "") is None
    assert places.used()["10.1.1.0/24"] == 1
    for name, last in (("b", 1), ("c", 2)):
        places.admit(name, bytes([10, 2, 2, last]), "")
    assert places.admit("a", bytes([10, 2, 2, 3]), "") == "10.2.2.0/24"
    assert places.used()["10.1.1.0/24"] == 1


def test_neighbours_share_a_network():
    assert neighbourhood(bytes([10, 1, 1, 1])) == neighbourhood("10.1.1.200") == "10.1.1.0/24"
    assert neighbourhood("2001:db8::1") == "2001:db8::/64"
    assert neighbourhood("node-1") == "node-1"


@given(st.lists(st.tuples(st.sampled_from(["admit", "release"]), st.integers(0, 30),
                          st.lists(st.integers(0, 2), min_size=4, max_size=4), st.sampled_from(["", "x", "y"])),
                max_size=80))
def test_caps_are_never_exceeded_and_what_is_counted_is_who_is_in(steps):
    places, members = quota(), {}
    for what, name, host, issuer in steps:
        if what == "release":
            places.release(str(name))
            members.pop(name, None)
        elif places.admit(str(name), bytes([10, *host[1:]]), issuer) is None:
            members[name] = host, issuer
    at_24 = Counter(tuple(host[1:3]) for host, _ in members.values())
    at_16 = Counter(host[1] for host, _ in members.values())
    issued = Counter(issuer for _, issuer in members.values() if issuer)
    assert max(at_24.values(), default=0) <= 2
    assert max(at_16.values(), default=0) <= 3
    assert max(issued.values(), default=0) <= 4
    assert sum(places.used().values()) == sum(at_24.values()) + sum(at_16.values()) + sum(issued.values())


@pytest.mark.parametrize("changed", [{"v4": ((33, 1),)}, {"v6": ((64, 0),)}, {"per_issuer": 0},
                                     {"exempt": ("10.0.0.1/8",)}], ids=["bits", "none", "issuer", "exempt"])
def test_settings_without_sense_are_refused(changed):
    with pytest.raises(ConfigurationError):
        Places(**changed)
