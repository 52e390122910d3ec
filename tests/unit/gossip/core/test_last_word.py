# SPDX-License-Identifier: Apache-2.0
"""Whoever still answers is not buried, and whoever missed a refutation is told by the one who knows."""

from __future__ import annotations

from dataclasses import replace

from holdfast.gossip.core.events import Leave, StreamAcked
from holdfast.gossip.messages import Ack, Dead, Ping, Suspect
from holdfast.gossip.profiles import AS_MEMBERLIST, LAN
from tests.unit.gossip.core.bench import PORT, Bench, alive, changes, host, packets


def accused(profile=LAN):
    """m1 stands accused, with all the confirmations there can be, and its time has just run out."""
    bench = Bench(9, profile=replace(profile, push_pull_interval_s=0.0))
    bench.hear(Suspect(1, "m1", "m2"), Suspect(1, "m1", "m3"), Suspect(1, "m1", "m4"))
    bench.quiet()
    return bench


def last_ping(bench):
    """The ping that comes before a death, and when."""
    said = bench.until(bench.now + 60.0, lambda effect: bool(bench.core._node.last_words))
    return next(packet for packet in packets(said, "Ping")
                if packet.messages[0].seq_no in bench.core._node.last_words)


def test_before_a_death_is_declared_the_accused_is_pinged_and_told():
    bench = accused()
    packet = last_ping(bench)
    assert packet.address == (host(1), PORT)
    assert isinstance(packet.messages[0], Ping)
    assert packet.messages[1] == Suspect(1, "m1", "m0")
    assert bench.core.member("m1").understands(3)
    assert ("failed", "m1") not in changes(bench.until(bench.now + 0.49))
    assert ("failed", "m1") in changes(bench.until(bench.now + 0.02))
    assert not bench.core._node.last_words


def test_whoever_answers_is_given_time_again():
    bench = accused()
    packet = last_ping(bench)
    began = bench.now
    bench.hear(Ack(packet.messages[0].seq_no), after_s=0.1)
    assert bench.state(1) == ("SUSPECT", 1)
    assert ("failed", "m1") not in changes(bench.until(began + 4.0))
    assert ("failed", "m1") in changes(bench.until(began + 4.7))


def test_an_answer_by_stream_counts_too():
    bench = accused()
    packet = last_ping(bench)
    bench.give(StreamAcked(packet.messages[0].seq_no), after_s=0.1)
    assert ("failed", "m1") not in changes(bench.until(8.0))


def test_but_not_for_ever():
    bench, pings = accused(), 0
    while bench.state(1)[0] == "SUSPECT" and pings < 50:
        said = bench.until(bench.now + 0.1)
        for packet in packets(said, "Ping"):
            pings += 1
            bench.hear(Ack(packet.messages[0].seq_no))
    assert bench.state(1)[0] == "DEAD"
    assert bench.now < 6 * 5 + 8


def test_a_confirmation_does_not_cut_the_last_ping_short():
    bench = Bench(9, profile=replace(LAN, push_pull_interval_s=0.0))
    bench.hear(Suspect(1, "m1", "m2"), Suspect(1, "m1", "m3"))
    bench.until(11.5)  # with one confirmation it runs out after 11.38 s
    bench.hear(Suspect(1, "m1", "m4"))
    assert ("failed", "m1") not in changes(bench.until(11.8))
    assert ("failed", "m1") in changes(bench.until(11.9))


def test_a_refutation_in_the_meantime_ends_it():
    bench = accused()
    last_ping(bench)
    assert changes(bench.hear(alive(1, 2))) == [("restored", "m1")]
    assert not bench.core._node.last_words


def test_memberlist_has_no_last_word():
    bench = accused(replace(LAN, lifeguard=AS_MEMBERLIST))
    assert ("failed", "m1") in changes(bench.until(4.01))


def test_whoever_missed_a_refutation_is_told_at_once_by_the_accused():
    bench = Bench(9)
    bench.hear(Suspect(1, "m0", "m3"))
    for claim in (Suspect(1, "m0", "m3"), Dead(1, "m0", "m3")):
        assert [(one.address, one.messages) for one in packets(bench.hear(claim, source=3))] == [
            ((host(3), PORT), (alive(0, 2),))]
    assert not packets(bench.hear(Suspect(1, "m1", "m3"), source=3))


def test_who_left_does_not():
    bench = Bench(9)
    bench.hear(Suspect(1, "m0", "m3"))
    bench.give(Leave())
    assert not packets(bench.hear(Suspect(1, "m0", "m3"), source=3))


def test_nor_does_memberlist():
    bench = Bench(9, profile=replace(LAN, lifeguard=AS_MEMBERLIST))
    bench.hear(Suspect(1, "m0", "m3"))
    assert not packets(bench.hear(Suspect(1, "m0", "m3"), source=3))
