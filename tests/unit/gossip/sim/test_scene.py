# SPDX-License-Identifier: Apache-2.0
"""The simulator's attacked cluster: what is on the wire, what a restart forgets, what an attacker gets hold of."""

from __future__ import annotations

import random

import pytest

pytest.importorskip("cryptography")

from holdfast.gossip.core.effects import Changed, Packet
from holdfast.gossip.core.events import SetMeta
from holdfast.gossip.defence import equivocation
from holdfast.gossip.defence.acts import Banned, Tell
from holdfast.gossip.messages import SERF_VERSIONS, Alive, Dead, Ping, State, Suspect, User
from holdfast.gossip.sim.attacks.defences import NONE, Defences
from holdfast.gossip.sim.attacks.divider import Divider
from holdfast.gossip.sim.attacks.letters import Events, wall
from holdfast.gossip.sim.attacks.outcome import believed, outcome
from holdfast.gossip.sim.attacks.plays import chosen, speak, text_of
from holdfast.gossip.sim.attacks.post import ACCUSATION, CLAIM, PROOF
from holdfast.gossip.sim.attacks.scene import Hostile, Scene
from holdfast.gossip.sim.attacks.two_faced import signed
from holdfast.gossip.sim.steps import Crash, Enter, play
from holdfast.gossip.sim.world import address_of, name_of
from holdfast.gossip.wire import encode

KEY, SIGNED = Defences(encryption=True), Defences(encryption=True, signatures=True)
HOW = [NONE, KEY, Defences(windows=True), SIGNED, Defences(windows=True, signatures=True, certificates=True,
                                                          scores=True, networks=True, flood=True, audit=True)]


def scene(defences=NONE, count=12, seed=1, **settings):
    return Scene(count, random.Random(seed), defences=defences, **settings)


@pytest.mark.parametrize("defences", HOW, ids=lambda one: one.words)
def test_whatever_is_on_letters_reach_everybody_and_a_death_is_known_to_all(defences):
    world = scene(defences)
    speak(world, 3, 0.5)
    play(world, [Crash(6.0, 7)])
    world.run(30.0)
    found = outcome(world)
    assert found.coverage == 1.0
    assert found.t50_s < found.t99_s < 2.0
    assert believed(world) == 0
    views = {world.places[index].core.member(name_of(7)) for index in world.good}
    assert {member is None or member.state is State.DEAD for member in views} == {True}


@pytest.mark.parametrize("defences", HOW, ids=lambda one: one.words)
def test_meta_that_a_member_changes_is_believed_by_all(defences):
    world = scene(defences)
    world.run(2.0)
    world.give(3, SetMeta(b"changed"))
    world.run(8.0)
    assert {world.places[index].core.member(name_of(3)).meta for index in range(12)} == {b"changed"}


@pytest.mark.parametrize("defences", HOW, ids=lambda one: one.words)
def test_a_member_that_restarts_is_taken_up_again(defences):
    world = scene(defences)
    play(world, [Enter(4.0, 5, seed=0)])
    world.run(45.0)
    assert all(world.view(index)[name_of(5)][0] is State.ALIVE for index in range(12))
    assert len(world.view(5)) == 12


class Ear:
    """Keeps what passes."""

    def __init__(self):
        self.heard = []

    def passes(self, world, sender, receiver, data):
        self.heard.append(data)
        return data


@pytest.mark.parametrize(("defences", "legible"), [(NONE, True), (KEY, False), (Defences(windows=True), False)],
                         ids=["none", "encryption", "windows"])
def test_who_stands_on_the_way_has_bytes_and_no_more(defences, legible):
    world, ear = scene(defences), Ear()
    world.paths.append(ear)
    speak(world, 1, 1.0)
    world.run(6.0)
    assert any(text_of(0) in data for data in ear.heard) is legible
    assert sum(map(len, ear.heard)) == world.sent_bytes
    assert len(ear.heard) == world.sent


def test_who_loses_everything_on_the_way_lets_nobody_hear():
    world = scene()
    world.paths.append(type("Cut", (), {"passes": lambda *_: None})())
    speak(world, 1, 1.0)
    world.run(6.0)
    assert outcome(world).coverage == pytest.approx(1 / 12)


def test_a_claim_goes_out_as_its_proof_and_one_without_a_proof_does_not():
    world = scene(SIGNED)
    post = world.posts[0]
    own, others = Suspect(1, name_of(4), name_of(0)), Suspect(1, name_of(4), name_of(5))
    (told,) = post.out([own, others], 0.0)
    assert told.payload.startswith(CLAIM)
    assert world.posts[1].into([told], name_of(0), 0.0) == [own]
    assert world.posts[1].into([own], name_of(0), 0.0) == [], "guard: nothing is believed without its proof"


@pytest.mark.parametrize("claim", [Alive(1, name_of(0), bytes(4), 7946, b"x" * 100, SERF_VERSIONS),
                                   Suspect(1, name_of(4), name_of(0)), Dead(1, name_of(4), name_of(0))],
                         ids=lambda claim: type(claim).__name__)
def test_what_a_proof_adds_is_what_packets_are_filled_by(claim):
    world = scene(SIGNED)
    (told,) = world.posts[0].out([claim], 0.0)
    assert abs(world.weigh(claim) - len(encode(told))) <= 40


def test_an_accusation_of_a_life_that_is_over_goes_no_further():
    """Or it would go round for as long as anybody has not heard of it twice."""
    world = scene(Defences(encryption=True, signatures=True, certificates=True))
    world.run(1.0)
    core = world.places[0].core
    (told,) = (act for act in world.posts[0].bury(core.member(name_of(4)), core.live, 1.0).acts
               if isinstance(act, Tell))
    burial, death = world.posts[1].accused(ACCUSATION + told.data, name_of(0), 1.0)
    assert ([type(act) for act in burial.acts], death) == ([Tell], None)
    world.give(4, SetMeta(b"a later life"))
    world.run(5.0)
    assert world.view(2)[name_of(4)] == (State.ALIVE, 2)
    burial, death = world.posts[2].accused(ACCUSATION + told.data, name_of(0), world.now)
    assert (burial.acts, death) == ((), None)


def test_events_are_new_once_and_signed_letters_are_not_new_to_who_said_them():
    events = Events()
    letter = events.say(b"said", 1.0)
    assert not events.hear(letter, "a", 1.0).new
    assert Events().hear(letter, "a", 1.0).text == b"said"
    assert Events().hear(b"\xff\xff", "a", 1.0).blame
    letters = scene(SIGNED).posts[0].letters
    assert not letters.hear(letters.say(b"said", 1.0), "a", 1.0).new
    assert wall(2.0) - wall(1.0) == 1000


def test_an_exchange_kills_nobody_and_tells_who_is_new():
    """A liar shows everybody as dead; with proofs it cannot even accuse."""
    class Grave(Hostile):
        def shows(self, world, index, states, receiver):
            return [type(one)(one.node, one.host, one.port, one.meta, one.incarnation, State.DEAD, one.versions)
                    for one in states]

    for defences in (NONE, SIGNED, Defences(networks=True)):
        world, changed = scene(defences), []
        world.watches.append(lambda now, index, effect, seen=changed: seen.append(effect.what)
                             if index == 4 and isinstance(effect, Changed) else None)
        world.hostile[3] = Grave()
        world.run(1.0)
        world.join(4, 3)
        world.run(1.5)
        assert "failed" not in changed
        assert ("suspected" in changed) is not defences.signatures


def test_part_of_the_members_is_chosen_and_none_where_none_is_wanted():
    world = scene(count=20)
    assert len(chosen(world, 0.3)) == 6
    assert chosen(world, 0.0) == []
    assert len(chosen(world, 0.01)) == 1


def test_letters_that_nobody_said_and_letters_that_come_again_count_as_false():
    world = scene()
    world.run(1.0)
    world.say(0, b"said")
    world.run(3.0)
    forged = world.posts[1].letters.say(b"never said", world.now)
    world.transmit(1, 2, [User(forged)])
    world.run(6.0)
    assert believed(world) == len(world.forged[b"never said"]) >= 11
    world.said[b"said"].again.append((4, 6.0))
    assert believed(world) == len(world.forged[b"never said"]) + 1


def test_two_letters_under_one_number_are_a_proof_where_members_watch_and_the_same_letter_again_is_none():
    for watching in (False, True):
        world = scene(Defences(encryption=True, signatures=True, watching=watching))
        world.run(1.0)
        one, other = signed(world.posts[0].notary.signer, 0, world.now)
        post = world.posts[1]
        assert post.hear(one, name_of(2), world.now)
        assert post.hear(one, name_of(3), world.now) is None
        assert post.acts == []
        assert post.hear(other, name_of(3), world.now) is None, "the number was heard: it is no news to anybody"
        assert [type(act) for act in post.acts] == ([Tell, Banned] if watching else []), "guard: letters are compared"


def test_a_proof_goes_on_once_and_whoever_brings_a_false_one_convicts_nobody():
    world = scene(Defences(encryption=True, signatures=True, watching=True))
    world.run(1.0)
    letters = signed(world.posts[0].notary.signer, 0, world.now)
    for letter in letters:
        world.posts[1].hear(letter, name_of(2), world.now)
    (told, _), post = world.posts[1].acts, world.posts[4]
    assert [type(act) for act in post.proved(PROOF + told.data, name_of(1), world.now)] == [Tell, Banned]
    assert post.proved(PROOF + told.data, name_of(1), world.now) == ()
    assert list(post.guard.convicted) == [name_of(0)]
    same = equivocation.encode(equivocation.Proof(letters[0], letters[0]))
    world.posts[5].proved(PROOF + same, name_of(1), world.now)
    assert world.posts[5].guard.convicted == {}


def test_what_a_divider_shows_each_half_is_that_half_and_the_dividers():
    world = scene(SIGNED)
    world.hostile.update({index: Divider(careful=True) for index in (10, 11)})
    world.run(1.0)
    live = [(name, 1) for name in sorted(world.view(10))]
    assert [int(name[5:]) for name, _ in world.hostile[10].sees(world, 3, live)] == [1, 3, 5, 7, 9, 10, 11]
    assert Divider(careful=False).sees(world, 3, live) == live
    states = world.places[10].core.states()
    assert sorted(int(one.node[5:]) for one in world.hostile[10].shows(world, 10, states, 4)) == [0, 2, 4, 6, 8, 10, 11]
    assert len(world.hostile[10].shows(world, 10, states, 11)) == 12, "dividers know all"


def test_a_divider_passes_no_news_of_one_half_on_to_the_other():
    world = scene(SIGNED)
    world.hostile[11] = Divider(careful=False)
    packet = Packet(address_of(2), (Ping(1, name_of(2)), Suspect(1, name_of(4), name_of(11)),
                                    Suspect(1, name_of(5), name_of(11)), User(b"letter")))
    assert world.hostile[11].sends(world, 11, packet).messages == packet.messages[:2]
    assert world.hostile[11].letter(world, 11, b"letter") is None
