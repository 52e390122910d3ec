# SPDX-License-Identifier: Apache-2.0
"""What the shell does with effects, over a network that only remembers what was sent."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

from holdfast._base.clock import Instant
from holdfast.gossip import LOCAL, Core
from holdfast.gossip.agent.shell import DISPUTE_S, Shell
from holdfast.gossip.agent.telling import Telling
from holdfast.gossip.agent.voice import SharedVoice
from holdfast.gossip.messages import SERF_VERSIONS, Ack, Alive, IndirectPing, Ping, User
from holdfast.gossip.serf import messages as serf_messages
from holdfast.gossip.serf.effects import Answered, Ended, Heard, Questioned
from holdfast.gossip.serf.layer import Layer
from holdfast.gossip.wire import Framing, encode
from holdfast.gossip.wire import serf as serf_wire

HOST = bytes([10, 0, 0, 1])
OWN, OTHER, STRANGER = (HOST, 1), (HOST, 2), (HOST, 9)


class Hands:
    """A clock that a test moves."""

    def __init__(self):
        self.time = Instant(100.0)

    def now(self):
        return self.time

    def wall_ms(self):
        raise AssertionError("nobody asks a shell for the date")


class Network:
    """sent: messages by where they went."""

    def __init__(self):
        self.address, self.counts, self.sent = OWN, Counter(), []

    def send(self, data, to):
        self.sent.append((to, [type(message) for message in Framing().messages(data).messages]))

    def to(self, address):
        return [kinds for where, kinds in self.sent if where == address]


class Member:
    """A shell with all around it made up."""

    def __init__(self):
        self.clock, self.network, self.told, self.lost = Hands(), Network(), [], []
        voice, chance = SharedVoice(Framing()), random.Random(1)
        core = Core("one", OWN, weigh=voice.weigh, profile=LOCAL)
        self.shell = Shell(core, Layer("one", chance), voice, profile=LOCAL, clock=self.clock, chance=chance,
                           tell=self.told.append, lost=self.lost.append,
                           telling=Telling("one", None, self.clock))
        self.shell.start(self.network)

    def hear(self, message, source=OTHER):
        self.shell.datagram(encode(message), source)

    def meet(self, name="two", address=OTHER):
        self.hear(Alive(1, name, *address, b"\xff\x80", SERF_VERSIONS), address)


def run(story):
    async def whole():
        member = Member()
        try:
            story(member)
        finally:
            await member.shell.close()

    asyncio.run(whole())


def test_answers_to_oneself_need_no_socket():
    def story(member):
        member.network.sent.clear()
        asked, effects = member.shell.layer.query("a", b"", OWN, member.shell.now)
        member.shell.do_layer(effects)
        (questioned,) = [told for told in member.told if isinstance(told, Questioned)]
        member.shell.do_layer(member.shell.layer.respond(questioned.query, b"42"))
        assert [told.payload for told in member.told if isinstance(told, Answered)] == [b"42"]
        assert asked.answers == {"one": b"42"}
        assert member.network.sent == []

    run(story)


def test_a_strangers_ping_brings_an_ack_and_no_news():
    def story(member):
        member.meet()
        for number in range(9):
            member.shell.do_layer(member.shell.layer.event("e", bytes([number]) * 300))
        member.hear(Ping(1, "one", *STRANGER, "stranger"), STRANGER)
        assert member.network.to(STRANGER) == [[Ack]]
        member.hear(Ping(2, "one", *OTHER, "two"), OTHER)
        assert len(member.network.to(OTHER)[-1]) > 1  # a member has them at once
        assert member.shell.strangers.refused == 1

    run(story)


def test_a_ping_for_somebody_unknown_goes_out_alone():
    def story(member):
        member.meet()
        member.hear(IndirectPing(7, *STRANGER, "stranger", True, *OTHER, "two"))
        assert member.network.to(STRANGER) == [[Ping]]

    run(story)


def test_a_name_that_two_have_is_voted_on_once_in_a_while():
    def story(member):
        member.meet()

        def claimed():
            member.hear(Alive(3, "one", *STRANGER))
            return len(member.shell.layer.asked)

        assert claimed() == 1
        assert claimed() == 1
        member.clock.time = Instant(member.clock.time + 10)
        member.shell.do_layer(member.shell.layer.tick(member.clock.now()))
        assert member.lost == []  # nobody voted, so it stays
        assert claimed() == 0
        member.clock.time = Instant(member.clock.time + DISPUTE_S)
        assert claimed() == 1
        assert not any(isinstance(told, Ended) for told in member.told)  # the vote is its own affair

    run(story)


def test_the_member_that_most_others_do_not_know_by_its_name_is_lost():
    def story(member):
        member.meet()
        member.hear(Alive(3, "one", *STRANGER))
        (number,) = vars(member.shell.layer.asked)["_open"]
        vote = serf_wire.encode(serf_messages.Described("one", *STRANGER, {}))
        answer = serf_messages.QueryResponse(*number, "two", 0, vote)
        member.hear(User(serf_wire.encode(answer)))
        member.clock.time = Instant(member.clock.time + 10)
        member.shell.do_layer(member.shell.layer.tick(member.clock.now()))
        assert [type(error).__name__ for error in member.lost] == ["NameLost"]

    run(story)


def test_what_cannot_be_read_is_counted_and_nothing_else():
    def story(member):
        before = len(member.told)
        member.shell.datagram(b"\x63", STRANGER)
        member.shell.datagram(encode(User(b"\xff")), STRANGER)
        assert member.shell.counts["packets_refused_type"] == 1
        assert member.shell.counts["user_messages_refused_type"] == 1
        assert len(member.told) == before
        assert member.network.sent == []

    run(story)


def test_an_event_is_told_once_however_often_it_comes():
    def story(member):
        event = User(serf_wire.encode(serf_messages.UserEvent(5, "e", b"x")))
        for _ in range(3):
            member.hear(event)
        assert len([told for told in member.told if isinstance(told, Heard)]) == 1

    run(story)


def test_a_member_that_names_its_ipv4_address_in_sixteen_bytes_is_no_stranger():
    def story(member):
        member.meet("two", (bytes(10) + b"\xff\xff" + HOST, 2))
        assert member.shell.peer(OTHER).node == "two"
        member.shell.do_layer(member.shell.layer.event("e", b"news"))
        member.hear(Ping(1, "one", bytes(10) + b"\xff\xff" + HOST, 2, "two"), OTHER)
        assert member.network.to(OTHER)[-1][0] is Ack
        assert User in member.network.to(OTHER)[-1]

    run(story)


def test_an_address_that_changed_hands_is_known_by_its_new_name():
    def story(member):
        member.meet("two", OTHER)
        assert member.shell.peer(OTHER).node == "two"
        assert member.shell.peer(OTHER).protocol == 5
        member.meet("three", OTHER)
        assert member.shell.peer(OTHER).node == "three"
        assert member.shell.peer(STRANGER) == (STRANGER, "", 0)

    run(story)
