# SPDX-License-Identifier: Apache-2.0
"""Who is there: ping, help, stream, accusation; and answering for oneself and for others."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from holdfast.gossip.core.effects import Changed, Probed, StreamOnly, StreamPing
from holdfast.gossip.core.events import StreamAcked
from holdfast.gossip.messages import Ack, Dead, IndirectPing, Nack, Ping, Suspect, Versions
from holdfast.gossip.profiles import LAN, NO_LIFEGUARD
from holdfast.gossip.sim.sizes import weigh
from tests.unit.gossip.core.bench import PORT, Bench, alive, changes, host, messages, of, packets, sent

OLD = Versions(1, 2, 2, 2, 5, 4)


def asked_for_help(bench, ping):
    """Lets the ping's time run out; what is said then."""
    return bench.until(bench.now + 0.5)


def test_each_member_is_pinged_once_before_anybody_is_pinged_again():
    bench, pinged = Bench(6), []
    for _ in range(12):
        packet, _ = bench.probing()
        pinged.append(packet.node)
        bench.hear(Ack(packet.messages[0].seq_no), after_s=0.001)
    assert sorted(pinged[:6]) == sorted(pinged[6:]) == ["m1", "m2", "m3", "m4", "m5", "m6"]


def test_a_ping_says_whom_it_is_for_and_where_the_answer_goes():
    packet, _ = Bench(1).probing()
    assert packet.address == (host(1), PORT)
    assert packet.messages[0] == Ping(packet.messages[0].seq_no, "m1", host(0), PORT, "m0")


def test_pings_are_an_interval_apart():
    bench = Bench(9)
    times = []
    for _ in range(4):
        packet, _ = bench.probing()
        times.append(bench.now)
        bench.hear(Ack(packet.messages[0].seq_no), after_s=0.01)
    assert [later - sooner for sooner, later in pairwise(times)] == pytest.approx([1.0] * 3)


def test_an_answer_ends_the_probe_and_carries_the_round_trip_and_its_payload():
    bench = Bench(3)
    packet, _ = bench.probing()
    said = bench.hear(Ack(packet.messages[0].seq_no, b"here"), after_s=0.2)
    assert of(said, Probed) == [Probed(packet.node, pytest.approx(0.2), b"here")]
    assert not of(bench.until(bench.now + 0.7), StreamPing)


def test_an_answer_with_another_number_is_none():
    bench = Bench(3)
    packet, _ = bench.probing()
    bench.hear(Ack(packet.messages[0].seq_no + 5))
    assert of(asked_for_help(bench, packet), StreamPing)


def test_without_an_answer_three_helpers_and_a_stream_are_asked():
    bench = Bench(9)
    packet, _ = bench.probing()
    said = asked_for_help(bench, packet)
    requests = packets(said, "IndirectPing")
    assert len(requests) == 3
    assert len({request.node for request in requests} - {packet.node, "m0"}) == 3
    number = packet.messages[0].seq_no
    assert requests[0].messages[0] == IndirectPing(number, packet.address[0], PORT, packet.node, True, host(0), PORT,
                                                   "m0")
    stream = of(said, StreamPing)
    assert [(one.address, one.ping.seq_no, one.ping.node) for one in stream] == [
        (packet.address, number, packet.node)]
    assert stream[0].until == pytest.approx(bench.now + 0.5)


def test_helpers_are_alive():
    bench = Bench(4)
    bench.hear(Dead(1, "m1", "m2"), Suspect(1, "m2", "m3"))
    for _ in range(6):
        packet, _ = bench.probing()
        helpers = {request.node for request in packets(asked_for_help(bench, packet), "IndirectPing")}
        assert helpers <= {"m3", "m4"} - {packet.node}
        bench.hear(Ack(packet.messages[0].seq_no))


def test_members_that_do_not_know_nacks_or_stream_pings_are_not_asked_for_them():
    bench = Bench()
    bench.hear(alive(1, versions=OLD), alive(2, versions=OLD))
    packet, _ = bench.probing()
    said = asked_for_help(bench, packet)
    assert [message.nack for message in messages(said) if isinstance(message, IndirectPing)] == [False]
    assert not of(said, StreamPing)


def test_a_late_answer_by_way_of_a_helper_counts():
    bench = Bench(9)
    packet, _ = bench.probing()
    asked_for_help(bench, packet)
    bench.hear(Ack(packet.messages[0].seq_no), after_s=0.3)
    assert ("suspected", packet.node) not in changes(bench.until(bench.now + 5))


def silent(bench):
    """A probe that nothing answers, to its end; whom it was for, and what was said at its end."""
    packet, _ = bench.probing()
    return packet.node, bench.until(bench.now + 60, lambda effect: isinstance(effect, Changed))


def test_silence_is_an_accusation_in_the_incarnation_that_was_pinged():
    bench = Bench(9)
    name, said = silent(bench)
    assert changes(said)[:1] == [("suspected", name)]
    assert Suspect(1, name, "m0") in bench.told()


def test_health_is_worse_by_each_nack_that_is_missing():
    bench = Bench(9)
    packet, _ = bench.probing()
    asked_for_help(bench, packet)
    bench.hear(Nack(packet.messages[0].seq_no), Nack(packet.messages[0].seq_no), Nack(99))
    bench.until(bench.now + 1, lambda effect: isinstance(effect, Changed))
    assert bench.core.inspect().health == 1


def test_with_every_nack_there_it_is_the_other_who_is_silent():
    bench = Bench(9)
    packet, _ = bench.probing()
    asked_for_help(bench, packet)
    bench.hear(*[Nack(packet.messages[0].seq_no)] * 4)
    assert changes(bench.until(bench.now + 1, lambda effect: isinstance(effect, Changed))) == [
        ("suspected", packet.node)]
    assert bench.core.inspect().health == 0


def test_without_helpers_that_know_nacks_a_failed_probe_counts_once():
    bench = Bench()
    bench.hear(*[alive(number, versions=OLD) for number in range(1, 9)])
    silent(bench)
    assert bench.core.inspect().health == 1


def test_bad_health_stretches_the_deadline_and_an_answer_betters_it():
    bench = Bench(9)
    _, said = silent(bench)
    assert bench.core.inspect().health == 3
    packet, began = packets(said, "Ping")[-1], bench.now  # the next one begins at once
    bench.until(began + 60, lambda effect: isinstance(effect, Changed) and effect.member.node == packet.node)
    assert bench.now - began == pytest.approx(4.0)
    packet, _ = bench.probing()
    before = bench.core.inspect().health
    bench.hear(Ack(packet.messages[0].seq_no))
    assert bench.core.inspect().health == before - 1


def test_the_ping_time_out_is_not_stretched():
    bench = Bench(9)
    _, said = silent(bench)
    assert packets(said, "Ping")
    began = bench.now
    bench.until(began + 60, lambda effect: isinstance(effect, StreamPing))
    assert bench.now - began == pytest.approx(0.5)


def test_one_that_answers_by_stream_only_is_not_accused_and_it_is_said():
    bench = Bench(9)
    packet, _ = bench.probing()
    asked_for_help(bench, packet)
    bench.give(StreamAcked(packet.messages[0].seq_no))
    said = bench.until(bench.now + 0.6)
    assert of(said, StreamOnly) == [StreamOnly(packet.node)]
    assert not changes(said)
    assert bench.core.inspect().health == 0


def test_the_accused_is_the_first_to_hear_of_it():
    bench = Bench(1)
    bench.hear(Suspect(1, "m1", "m9"))
    bench.quiet()
    packet, _ = bench.probing()
    assert packet.messages == (packet.messages[0], Suspect(1, "m1", "m0"))
    assert isinstance(packet.messages[0], Ping)


def test_without_the_buddy_system_it_gets_a_ping_alone():
    bench = Bench(1, profile=replace(LAN, lifeguard=NO_LIFEGUARD))
    bench.hear(Suspect(1, "m1", "m9"))
    bench.quiet()
    packet, _ = bench.probing()
    assert len(packet.messages) == 1


def test_the_dead_are_not_pinged():
    bench = Bench(2)
    bench.hear(Dead(1, "m1", "m2"))
    for _ in range(4):
        packet, _ = bench.probing()
        assert packet.node == "m2"
        bench.hear(Ack(packet.messages[0].seq_no))


def test_alone_nobody_is_pinged_and_time_goes_on():
    bench = Bench()
    assert not packets(bench.until(30))
    bench.hear(alive(1))
    assert bench.probing()[0].node == "m1"


def test_a_ping_is_answered_where_it_says_or_where_it_came_from():
    bench = Bench(2)
    bench.core.set_payload(b"here")
    said = bench.hear(Ping(5, "m0", host(2), 77, "m2"), Ping(6, "m0"), Ping(7, ""), source=1)
    assert [(one.address, one.messages[0]) for one in packets(said)] == [
        ((host(2), 77), Ack(5, b"here")), ((host(1), PORT), Ack(6, b"here")), ((host(1), PORT), Ack(7, b"here"))]


def test_a_ping_for_somebody_else_is_not_answered():
    assert Bench(2).hear(Ping(5, "m9", host(2), PORT, "m2")) == []


def test_a_helper_passes_the_answer_on_under_the_requesters_number():
    bench = Bench(3)
    said = bench.hear(IndirectPing(41, host(2), PORT, "m2", True, host(1), PORT, "m1"))
    ping = packets(said, "Ping")[0]
    assert (ping.address, ping.messages[0].node) == ((host(2), PORT), "m2")
    said = bench.hear(Ack(ping.messages[0].seq_no, b"far"), source=2)
    assert [(one.address, one.messages[0]) for one in packets(said)] == [((host(1), PORT), Ack(41))]
    assert not packets(bench.until(bench.now + 0.6), "Nack")


def test_a_helper_says_that_it_heard_nothing_if_the_requester_understands_it():
    bench = Bench(3)
    bench.hear(IndirectPing(41, host(2), PORT, "m2", True, host(1), PORT, "m1"))
    bench.hear(IndirectPing(42, host(2), PORT, "m2", False, host(1), PORT, "m1"))
    nacks = packets(bench.until(bench.now + 0.55), "Nack")
    assert [(one.address, one.messages[0]) for one in nacks] == [((host(1), PORT), Nack(41))]


def test_a_helper_that_was_answered_too_late_passes_nothing_on():
    bench = Bench(3)
    said = bench.hear(IndirectPing(41, host(2), PORT, "m2", True, host(1), PORT, "m1"))
    bench.until(bench.now + 0.55)
    assert not packets(bench.hear(Ack(packets(said, "Ping")[0].messages[0].seq_no), source=2), "Ack")


def test_pings_for_others_have_a_bound():
    bench = Bench(3, profile=replace(LAN, relays_max=2))
    said = bench.hear(*[IndirectPing(number, host(2), PORT, "m2") for number in range(5)])
    assert len(packets(said, "Ping")) == 2
    assert bench.core.inspect().dropped == 3
    bench.until(bench.now + 0.55)
    assert bench.core.inspect().relays == 0


def test_who_was_dead_for_long_is_forgotten_when_a_round_ends():
    bench = Bench(3)
    bench.hear(Dead(1, "m1", "m2"))
    def answered(when):
        while bench.now < when:
            packet, said = bench.probing()
            yield from changes(said)
            bench.hear(Ack(packet.messages[0].seq_no))
    assert ("forgotten", "m1") not in list(answered(29))
    assert ("forgotten", "m1") in list(answered(36))
    assert bench.state(1) is None
    assert bench.core.inspect().failed == 1


def test_packets_are_never_longer_than_they_may_be():
    bench = Bench(60)
    for number in range(1, 60):
        bench.hear(alive(number, 2, meta=b"x" * 200))
    said = bench.until(bench.now + 3)
    longest = max(2 + sum(2 + weigh(message) for message in one.messages) for one in packets(said))
    assert 1000 < longest <= LAN.packet_bytes
    assert any(sent(one, "Ping") and len(one.messages) > 1 for one in packets(said))
