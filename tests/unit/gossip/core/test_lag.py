# SPDX-License-Identifier: Apache-2.0
"""A member that wakes late accuses nobody of having been silent meanwhile."""

from __future__ import annotations

from dataclasses import replace

from holdfast.gossip.core.effects import Lagged, Probed
from holdfast.gossip.core.events import Tick
from holdfast.gossip.messages import Ack, Suspect
from holdfast.gossip.profiles import AS_MEMBERLIST, LAN, Lifeguard
from tests.unit.gossip.core.bench import Bench, alive, changes, of, packets

#: Without the ping before a death, which would hide what is looked at here.
AWARE = replace(LAN, lifeguard=Lifeguard(last_word=False))
UNAWARE = replace(LAN, lifeguard=AS_MEMBERLIST)


def test_lateness_is_said_and_counts_as_so_many_failed_probes():
    bench = Bench(9)
    late_s = bench.core.next_due + 3.5 - bench.now
    assert [round(one.late_s, 3) for one in of(bench.give(Tick(), late_s), Lagged)] == [3.5]
    assert bench.core.inspect().health == 4


def test_it_is_said_once_for_each_sleep():
    bench = Bench(9)
    assert of(bench.hear(alive(1), after_s=5.0), Lagged)
    assert not of(bench.give(Tick()), Lagged)
    assert not of(bench.until(bench.now + 0.4), Lagged)


def test_an_accusation_that_confirmations_cut_short_is_no_lateness():
    bench = Bench(9)
    bench.hear(Suspect(1, "m1", "m2"))
    bench.until(7.0)
    health = bench.core.inspect().health
    bench.hear(Suspect(1, "m1", "m3"), Suspect(1, "m1", "m4"))  # it should have run out after 4 s
    assert not of(bench.until(7.1), Lagged)
    assert bench.core.inspect().health == health


def test_a_little_late_is_not_late():
    bench = Bench(9)
    assert not of(bench.give(Tick(), bench.core.next_due + 0.2 - bench.now), Lagged)


def test_the_probe_it_slept_through_is_begun_again():
    bench = Bench(9)
    packet, _ = bench.probing()
    said = bench.give(Tick(), after_s=6.0)
    assert changes(said) == []
    again = packets(said, "Ping")[0]
    assert again.node == packet.node
    assert ("suspected", packet.node) in changes(bench.until(bench.now + 60.0))


def test_the_answer_to_the_first_ping_counts_for_the_second():
    bench = Bench(9)
    packet, _ = bench.probing()
    bench.give(Tick(), after_s=6.0)
    assert of(bench.hear(Ack(packet.messages[0].seq_no), after_s=0.01), Probed)


def test_where_everybody_is_always_late_a_death_is_noticed_all_the_same():
    bench, seen = Bench(3), []
    while ("failed", "m1") not in seen and bench.now < 300.0:
        said = bench.give(Tick(), max(0.0, bench.core.next_due - bench.now) + 0.3)
        seen += changes(said)
        for packet in packets(said, "Ping"):
            if packet.node != "m1":
                bench.hear(Ack(packet.messages[0].seq_no))
    assert ("suspected", "m1") in seen
    assert ("failed", "m1") in seen
    assert not {("failed", "m2"), ("failed", "m3")} & set(seen)


def test_one_that_does_not_look_at_the_clock_accuses():
    bench = Bench(9, profile=UNAWARE)
    packet, _ = bench.probing()
    assert changes(bench.give(Tick(), after_s=6.0)) == [("suspected", packet.node)]


def test_an_accusation_that_ran_out_meanwhile_waits_until_what_lies_in_the_socket_was_read():
    bench = Bench(9, profile=AWARE)
    bench.hear(Suspect(1, "m1", "m2"))
    assert changes(bench.give(Tick(), after_s=100.0)) == []
    assert changes(bench.hear(alive(1, 2), after_s=0.01)) == [("restored", "m1")]


def test_and_not_longer():
    bench = Bench(9, profile=AWARE)
    bench.hear(Suspect(1, "m1", "m2"))
    bench.give(Tick(), after_s=100.0)
    assert ("failed", "m1") in changes(bench.until(bench.now + 0.51))


def test_one_that_does_not_look_at_the_clock_declares_the_death():
    bench = Bench(9, profile=UNAWARE)
    bench.hear(Suspect(1, "m1", "m2"))
    assert ("failed", "m1") in changes(bench.give(Tick(), after_s=100.0))
