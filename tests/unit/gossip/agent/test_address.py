# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from holdfast.errors import ConfigurationError
from holdfast.gossip.agent.address import host_and_port, host_text, packed, reachable, text
from holdfast.gossip.agent.places import own_address


@pytest.mark.parametrize(("given", "found"), [
    ("10.0.0.1:80", ("10.0.0.1", 80)), ("10.0.0.1", ("10.0.0.1", 7946)), ("node.example:0", ("node.example", 0)),
    ("[::1]:80", ("::1", 80)), ("[::1]", ("::1", 7946)), ("::1", ("::1", 7946)),
    ("fe80::1%eth0", ("fe80::1%eth0", 7946)),
])
def test_an_address_as_people_write_it(given, found):
    assert host_and_port(given) == found


@pytest.mark.parametrize("given", ["", ":80", "a:b", "a:-1", "a:65536", "[::1", "[::1]80", "a:٣"])
def test_what_is_no_address_is_said(given):
    with pytest.raises(ConfigurationError, match="is no address: write"):
        host_and_port(given)


@pytest.mark.parametrize("written", ["10.0.0.1:80", "[2001:db8::1]:7946"])
def test_text_and_bytes_are_the_same_address(written):
    host, port = host_and_port(written)
    assert text((packed(host), port)) == written


def test_ipv4_in_sixteen_bytes_is_ipv4():
    mapped = bytes(10) + b"\xff\xff\x0a\x00\x00\x01"
    assert host_text(mapped) == "10.0.0.1"
    assert packed("::ffff:10.0.0.1") == packed("10.0.0.1")


@pytest.mark.parametrize(("address", "may"), [
    ((b"\x7f\0\0\1", 1), True), ((bytes(16), 65535), True), ((b"\x7f\0\0\1", 0), False), ((b"\x7f\0\1", 1), False),
    ((b"", 1), False), (("host", 1), False), ((b"\x7f\0\0\1", 65536), False),
])
def test_some_addresses_of_messages_lead_nowhere(address, may):
    assert reachable(address) is may


def test_an_address_that_is_none_is_shown_all_the_same():
    assert text((b"\x01\x02\x03", 9)) == "010203:9"


@pytest.mark.parametrize(("bound", "advertise", "found"), [
    (("10.0.0.1", 5), None, ("10.0.0.1", 5)), (("10.0.0.1", 5), "192.0.2.7", ("192.0.2.7", 5)),
    (("0.0.0.0", 5), "192.0.2.7:6", ("192.0.2.7", 6)), (("::", 5), "[2001:db8::7]", ("2001:db8::7", 5)),
])
def test_others_are_told_what_was_bound_or_what_was_said(bound, advertise, found):
    assert own_address((packed(bound[0]), bound[1]), advertise, ()) == (packed(found[0]), found[1])


def test_of_all_addresses_the_one_on_the_way_to_others_is_told():
    assert own_address((packed("0.0.0.0"), 5), None, ["name.example:1", "127.0.0.1:7946"]) == (packed("127.0.0.1"), 5)


def test_a_name_is_told_to_nobody():
    with pytest.raises(ConfigurationError, match="is no IP address, and messages carry"):
        own_address((packed("0.0.0.0"), 5), "node.example", ())
