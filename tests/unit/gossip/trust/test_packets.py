# SPDX-License-Identifier: Apache-2.0
"""A packet opens once, for whoever holds its epoch's key, as it was sealed; no nonce comes twice."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import BadPacket, ConfigurationError, NotTrusted
from holdfast.gossip.trust.identity import short_id
from holdfast.gossip.trust.packets import HEADER, OVERHEAD, Opener, Sealer, peek
from holdfast.gossip.trust.window import Window
from tests.unit.gossip.trust.people import CLUSTER, Town

TOWN = Town()
ONE, TWO = TOWN.citizen("one", "rotate"), TOWN.citizen("two")
FIRST = TOWN.announce(ONE)
SECOND = TOWN.announce(ONE, 2, [FIRST.hash])


def sealer(who=ONE, seed=1, **more):
    return Sealer(CLUSTER, who[0].id, random.Random(seed).randbytes, **more)


def refused(call, *args):
    with pytest.raises((BadPacket, NotTrusted)) as found:
        call(*args)
    return found.value.why


def test_a_packet_opens_and_says_from_whom():
    opened = Opener(CLUSTER).open([SECOND, FIRST], sealer().seal(FIRST, b"said"))
    assert (opened.data, opened.sender, opened.epoch) == (b"said", short_id(ONE[0].id), FIRST)


def test_sealing_adds_57_bytes():
    assert OVERHEAD == 57
    assert len(sealer().seal(FIRST, bytes(1000))) == 1057


def test_the_same_packet_opens_once():
    opener, packet = Opener(CLUSTER), sealer().seal(FIRST, b"said")
    opener.open([FIRST], packet)
    assert refused(opener.open, [FIRST], packet) == "replay"


def test_packets_open_in_any_order_within_the_window_and_not_behind_it():
    opener, own = Opener(CLUSTER, width=8), sealer()
    packets = [own.seal(FIRST, bytes([n])) for n in range(20)]
    for n in (3, 1, 10, 4, 9):
        assert opener.open([FIRST], packets[n]).data == bytes([n])
    assert refused(opener.open, [FIRST], packets[2]) == "replay"
    assert opener.open([FIRST], packets[5]).data == b"\x05"


@given(st.lists(st.integers(0, 60), max_size=60), st.integers(1, 40))
def test_a_window_is_a_set_of_what_was_there(counters, width):
    window, seen = Window(width), set()
    for counter in counters:
        expected = counter not in seen and counter > max(seen, default=-1) - width
        assert window.fresh(counter) == expected
        if expected:
            window.add(counter)
            seen.add(counter)


def test_a_jump_of_the_counter_takes_no_memory():
    window = Window(64)
    for counter in (0, 1 << 63, (1 << 64) - 1):
        window.add(counter)
        assert not window.fresh(counter)
        assert window._seen.bit_length() <= 64
    assert window.fresh((1 << 64) - 2)


@pytest.mark.parametrize("at", range(HEADER + 8))
def test_each_byte_of_the_header_is_bound_to_the_rest(at):
    packet = sealer().seal(FIRST, b"said")
    changed = packet[:at] + bytes([packet[at] ^ 1]) + packet[at + 1:]
    opener = Opener(CLUSTER)
    assert refused(opener.open, [FIRST, SECOND], changed) in {"key", "version"}
    assert opener.open([FIRST, SECOND], packet).data == b"said"


def test_a_packet_of_another_cluster_does_not_open():
    assert refused(Opener(b"there").open, [FIRST], sealer().seal(FIRST, b"said")) == "key"


def test_a_packet_of_an_epoch_we_lack_is_named():
    packet = sealer().seal(SECOND, b"said")
    assert refused(Opener(CLUSTER).open, [FIRST], packet) == "key"
    assert peek(packet).epoch == 2
    for size in range(OVERHEAD):
        assert refused(Opener(CLUSTER).open, [FIRST], packet[:size]) == "short"


def test_the_counter_refuses_before_it_begins_again():
    own = sealer(counter_max=3)
    nonces = [own.seal(FIRST, b"")[HEADER - 8:HEADER] for _ in range(3)]
    assert len(set(nonces)) == 3
    for _ in range(2):
        assert refused(own.seal, FIRST, b"") == "exhausted"
    own.seal(SECOND, b"")  # another key, another counter
    with pytest.raises(ConfigurationError):
        sealer(counter_max=1 << 64)


def test_a_sealer_does_not_go_back_to_an_epoch_whose_counter_it_used():
    own = sealer()
    own.seal(FIRST, b"")
    own.seal(SECOND, b"")
    assert refused(own.seal, FIRST, b"") == "epoch"


def test_two_starts_of_a_node_share_no_key():
    packets = [sealer(seed=seed).seal(FIRST, b"the same words") for seed in (1, 2)]
    assert packets[0][HEADER - 8:HEADER] == packets[1][HEADER - 8:HEADER]
    assert packets[0][HEADER:] != packets[1][HEADER:]
    same_boot = [sealer(who, seed=1).seal(FIRST, b"the same words") for who in (ONE, TWO)]
    assert same_boot[0][HEADER:] != same_boot[1][HEADER:]


def test_two_epochs_share_no_key():
    own = sealer()
    assert own.seal(FIRST, b"words")[HEADER:] != own.seal(SECOND, b"words")[HEADER:]


def test_a_pinned_sender_has_one_start():
    old, new = sealer(seed=1), sealer(seed=2)
    opener = Opener(CLUSTER)
    opener.pin(ONE[0].id, new.boot)
    assert refused(opener.open, [FIRST], old.seal(FIRST, b"")) == "replay"
    assert opener.open([FIRST], new.seal(FIRST, b"x")).data == b"x"


def test_who_is_refused_is_not_heard_under_any_key():
    opener = Opener(CLUSTER, refused=lambda sender: sender == short_id(ONE[0].id))
    assert refused(opener.open, [FIRST], sealer().seal(FIRST, b"")) == "revoked"
    opener.open([FIRST], sealer(TWO).seal(FIRST, b""))


def test_senders_are_remembered_within_a_bound_and_by_genuine_packets_only():
    opener = Opener(CLUSTER, senders_max=5)
    for seed in range(20):
        packet = sealer(seed=seed).seal(FIRST, b"")
        assert refused(opener.open, [FIRST], packet[:-1] + bytes([packet[-1] ^ 1])) == "key"
        assert len(opener) <= min(seed, 5)
        opener.open([FIRST], packet)
    assert len(opener) == 5


def test_a_forged_packet_does_not_move_the_window():
    opener, own = Opener(CLUSTER, width=4), sealer()
    packets = [own.seal(FIRST, b"") for _ in range(3)]
    opener.open([FIRST], packets[0])
    forged = packets[0][:HEADER - 8] + (1 << 60).to_bytes(8, "big") + packets[0][HEADER:]
    assert refused(opener.open, [FIRST], forged) == "key"
    opener.open([FIRST], packets[1])


def test_a_retired_epoch_leaves_nothing():
    opener, own = Opener(CLUSTER), sealer()
    opener.open([FIRST], own.seal(FIRST, b""))
    opener.open([SECOND], own.seal(SECOND, b""))
    opener.forget(FIRST)
    assert len(opener) == 1
