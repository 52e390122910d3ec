# SPDX-License-Identifier: Apache-2.0
"""Serf's layer of some members who hand each other what they send, without a network."""

from __future__ import annotations

import random
import re

import pytest

from holdfast._base.clock import Instant
from holdfast.errors import BadPacket, ConfigurationError
from holdfast.gossip.keys import Key, Keyring
from holdfast.gossip.messages import BARE_VERSIONS, Ack, Alive, Versions
from holdfast.gossip.serf import filters
from holdfast.gossip.serf.conflict import keeps_its_name
from holdfast.gossip.serf.effects import Answered, Ended, Heard, LayerSettings, Questioned, Send, Spread
from holdfast.gossip.serf.key_queries import KeyTally
from holdfast.gossip.serf.layer import Layer
from holdfast.gossip.serf.members import Changed
from holdfast.gossip.serf.messages import (
    Exchange,
    Join,
    Leave,
    PastEvent,
    PastEvents,
    Query,
    QueryFlag,
    QueryResponse,
    Relay,
    Status,
    UserEvent,
)
from holdfast.gossip.wire import serf

T0 = Instant(1000.0)
RELAYING = Versions(1, 5, 2, 2, 5, 5)


def address(node):
    return bytes([127, 0, 0, 1]), 7000 + ord(node[0])


def claim(node, versions=RELAYING, **tags):
    return Alive(1, node, *address(node), serf.tags_to_meta({"role": f"role-{node}", **tags}), versions)


class Cluster:
    """Layers that know each other. What is spread reaches all, what is sent its address; all in turn."""

    def __init__(self, names="abc", **settings):
        self.layers = {name: Layer(name, random.Random(ord(name)), keyring=Keyring([Key(b"k" * 32)]), matches=by_re,
                                   settings=LayerSettings(**settings)) for name in names}
        self.seen = {name: [] for name in names}
        for layer in self.layers.values():
            for name in names:
                layer.alive(claim(name), T0)

    def __getitem__(self, name):
        return self.layers[name]

    def do(self, name, effects, now=T0):
        """Carries out what a member wants done, and all that follows."""
        for effect in effects:
            self.seen[name].append(effect)
            if isinstance(effect, Spread):
                for other in self.layers:
                    if other != name:
                        self.do(other, self.layers[other].received(effect.payload, now), now)
            elif isinstance(effect, Send):
                other = next(node for node in self.layers if address(node) == effect.address)
                self.do(other, self.layers[other].received(effect.payload, now), now)

    def of(self, name, kind):
        return [effect for effect in self.seen[name] if isinstance(effect, kind)]


def by_re(expression, text):
    return re.search(expression, text) is not None


# -- events -----------------------------------------------------------------------------------------------------------

def test_an_event_is_heard_by_all_once_and_passed_on_as_it_came():
    cluster = Cluster()
    cluster.do("a", cluster["a"].event("deploy", b"v1"))
    for name in "abc":
        assert [heard.event.payload for heard in cluster.of(name, Heard)] == [b"v1"]
    [first] = cluster.of("a", Spread)
    assert {spread.payload for spread in cluster.of("b", Spread)} == {first.payload}


def test_fields_of_a_later_version_are_passed_on():
    layer = Cluster()["a"]
    payload = b"\x03\x83\xa5LTime\x05\xa4Name\xa1e\xa5Later\x93\x01\x02\x03"
    assert layer.received(payload, T0)[1] == Spread("event", payload)


def test_events_are_later_than_those_that_were_heard():
    layer = Cluster()["a"]
    layer.received(serf.encode(UserEvent(41, "e")), T0)
    assert layer.event("f")[0].event.ltime == 42


def test_an_event_that_is_too_large_is_refused_and_told_to_nobody():
    layer = Cluster()["a"]
    layer.event("e", b"x" * 511)
    before = layer.event_clock.time
    with pytest.raises(ConfigurationError, match="512"):
        layer.event("e", b"x" * 512)
    assert layer.event_clock.time == before
    with pytest.raises(ConfigurationError, match="9216"):
        Layer("a", random.Random(1), settings=LayerSettings(event_max=20_000)).event("e", b"x" * 9216)


# -- joins and leaves -------------------------------------------------------------------------------------------------

def test_a_member_that_leaves_has_left_everywhere():
    cluster = Cluster()
    cluster.do("b", cluster["b"].leave(T0))
    for name in "ac":
        assert cluster[name].membership.members["b"].status == Status.LEAVING
        assert cluster[name].gone("b", T0)[0].what == "left"


def test_that_a_member_leaves_which_does_not_is_refuted():
    cluster = Cluster()
    cluster.do("c", cluster["c"].force_leave("a", T0))
    for name in "bc":
        assert cluster[name].membership.members["a"].status == Status.ALIVE
    assert any(isinstance(serf.decode(spread.payload), Join) for spread in cluster.of("a", Spread))


def test_a_failed_member_is_made_to_have_left():
    cluster = Cluster()
    for name in "ac":
        cluster[name].gone("b", T0)
    del cluster.layers["b"]
    cluster.do("a", cluster["a"].force_leave("b", T0, prune=True))
    assert [change.what for change in cluster.of("c", Changed)] == ["left", "forgotten"]
    assert "b" not in cluster["c"].membership.members


def test_an_intent_is_passed_on_once():
    layer = Cluster()["a"]
    payload = serf.encode(Leave(9, "b"))
    assert layer.received(payload, T0) == [Spread("intent", payload)]
    assert layer.received(payload, T0) == []


# -- exchanges --------------------------------------------------------------------------------------------------------

def test_who_enters_hears_what_happened_and_who_left():
    cluster = Cluster()
    cluster.do("a", cluster["a"].event("deploy", b"v1"))
    cluster.do("b", cluster["b"].leave(T0))
    cluster["a"].gone("b", T0)
    late = Layer("d", random.Random(1))
    late.alive(claim("d"), T0)
    late.alive(claim("b"), T0)
    effects = late.merge(cluster["a"].exchange(), T0, join=True)
    assert [(e.event.name, e.event.payload) for e in effects if isinstance(e, Heard)] == [("deploy", b"v1")]
    assert late.membership.members["b"].status == Status.LEAVING
    assert late.event("next")[0].event.ltime > cluster["a"].event_clock.time - 1
    assert late.merge(cluster["a"].exchange(), T0, join=True) == []


def test_who_does_not_want_the_past_is_not_told():
    theirs = Cluster()["a"]
    theirs.event("deploy", b"v1")
    late = Layer("d", random.Random(1), settings=LayerSettings(replay_on_join=False))
    assert late.merge(theirs.exchange(), T0, join=True) == []
    theirs.event("deploy", b"v2")
    assert [e.event.payload for e in late.merge(theirs.exchange(), T0, join=False)] == [b"v2"]


def test_exchanges_do_not_make_a_leave_later_than_it_was():
    """Or two members that tell each other of it again and again outrun the clock, and what comes next is too old."""
    cluster = Cluster()
    for name in "ab":
        cluster[name].gone("c", T0)
    cluster.do("a", cluster["a"].force_leave("c", T0))
    time = cluster["a"].membership.members["c"].status_ltime
    for _ in range(9):
        cluster["b"].merge(cluster["a"].exchange(), T0, join=False)
        cluster["a"].merge(cluster["b"].exchange(), T0, join=False)
    assert {cluster[name].membership.members["c"].status_ltime for name in "ab"} == {time}
    cluster.do("a", cluster["a"].force_leave("c", T0, prune=True))
    assert "c" not in cluster["b"].membership.members


def test_who_heard_of_a_leave_by_an_exchange_can_forget_and_make_forget():
    """It holds the leave to be one later than it was: what others say next, and what it says itself, is not too old."""
    for pruner in "ab":
        cluster = Cluster()
        for name in "ab":
            cluster[name].gone("c", T0)
        cluster["a"].force_leave("c", T0)  # and the intent is lost
        cluster["b"].merge(cluster["a"].exchange(), T0, join=False)
        assert cluster["b"].membership.left() == ("c",)
        cluster.do(pruner, cluster[pruner].force_leave("c", T0, prune=True))
        assert all("c" not in cluster[name].membership.members for name in "ab")


def test_an_exchange_in_which_a_living_member_left_is_refuted():
    layer = Cluster()["a"]
    theirs = serf.encode(Exchange(9, {"a": 5}, ("a",), 1, (), 1))
    [spread] = layer.merge(theirs, T0, join=False)
    assert serf.decode(spread.payload).ltime > 6


def test_an_exchange_tells_what_serf_tells():
    layer = Cluster()["a"]
    layer.join(T0)
    layer.event("deploy", b"v1")
    told = serf.decode(layer.exchange())
    assert (told.ltime, told.event_ltime, told.query_ltime) == (2, 2, 1)
    assert told.status_ltimes == {"a": 1, "b": 0, "c": 0}
    assert len(told.events) == 512
    assert told.events[:2] == (None, PastEvents(1, (PastEvent("deploy", b"v1"),)))


@pytest.mark.parametrize("payload", [
    b"", serf.encode(Join(1, "a")), b"\x02\xc1", b"\x02\x81\xa5LTime\xcf" + b"\xff" * 8])
def test_what_is_no_exchange_is_refused(payload):
    with pytest.raises(BadPacket):
        Cluster()["a"].merge(payload, T0, join=True)


@pytest.mark.parametrize("exchange", [
    Exchange(2**63, {}), Exchange(1, {"a": 2**63}), Exchange(1, {}, (), 2**63), Exchange(1, {}, (), 1, (), 2**63),
    Exchange(1, {}, (), 1, (PastEvents(1, (PastEvent("e"),)), PastEvents(2**63, (PastEvent("e"),))))])
def test_of_an_exchange_with_a_time_that_was_made_up_nothing_is_used(exchange):
    layer = Cluster()["a"]
    with pytest.raises(BadPacket):
        layer.merge(serf.encode(exchange), T0, join=True)
    assert layer.received(serf.encode(UserEvent(1, "e", None)), T0)
    assert (layer.clock.time, layer.query_clock.time) == (1, 1)


@pytest.mark.parametrize("message", [Exchange(1, {}), QueryResponse(1, 1, "b")])
def test_what_does_not_come_by_itself_does_nothing(message):
    layer = Cluster()["a"]
    if isinstance(message, QueryResponse):
        assert layer.received(serf.encode(message), T0) == []
        assert layer.asked.strays == 1
    else:
        with pytest.raises(BadPacket):
            layer.received(serf.encode(message), T0)


# -- queries ----------------------------------------------------------------------------------------------------------

def ask(cluster, name="load", payload=b"", **how):
    return done(cluster, cluster["a"].query(name, payload, address("a"), T0, **how))


def done(cluster, asking):
    """What was asked, after all that follows from it."""
    asked, effects = asking
    cluster.do("a", effects)
    return asked


def test_everybody_is_asked_and_answers():
    cluster = Cluster()
    asked = ask(cluster, ack=True, timeout_s=2.0)
    assert set(asked.acks) == {"a", "b", "c"}
    for name in "abc":
        [question] = cluster.of(name, Questioned)
        assert question.ends == T0 + 2
        cluster.do(name, cluster[name].respond(question.query, name.encode()))
    assert asked.answers == {"a": b"a", "b": b"b", "c": b"c"}
    assert [e.node for e in cluster.of("a", Answered) if e.payload is not None] == ["a", "b", "c"]
    assert cluster["a"].tick(Instant(T0 + 2)) == [Ended(asked)]


def test_only_those_are_asked_whom_the_filters_let_pass():
    cluster = Cluster()
    ask(cluster, nodes=("b", "c"), tags={"role": "-[ab]$"})
    assert [name for name in "abc" if cluster.of(name, Questioned)] == ["b"]
    assert cluster.of("c", Spread), "who is not asked passes it on all the same"


def test_a_query_that_may_not_be_passed_on_is_not():
    layer = Cluster()["b"]
    query = Query(1, 2, *address("a"), "a", "load", b"", flags=QueryFlag.NO_BROADCAST)
    assert [type(effect) for effect in layer.received(serf.encode(query), T0)] == [Questioned]


def test_answers_go_to_members_and_to_nobody_else():
    """A forged query names a stranger; without this each member would send him all it has to say."""
    layer = Cluster()["b"]
    query = Query(1, 2, bytes([10, 9, 9, 9]), 53, "a", "_serf_list-keys", b"", flags=QueryFlag.ACK, relay_factor=255)
    assert not [e for e in layer.received(serf.encode(query), T0) if isinstance(e, Send)]
    assert layer.respond(query, b"x" * 900) == []


def test_who_disputes_a_name_is_answered_where_it_is_though_it_is_no_member_there():
    """Its claim was not believed, so nobody has it at that address; without an answer it would never know."""
    layer = Cluster()["b"]
    query = Query(1, 2, bytes([10, 9, 9, 9]), 53, "a", "_serf_conflict", b"a", relay_factor=255)
    (answer,) = [effect for effect in layer.received(serf.encode(query), T0) if isinstance(effect, Send)]
    assert answer.address == (bytes([10, 9, 9, 9]), 53)
    vote = serf.decode(serf.decode(answer.payload).payload)
    assert (vote.node, vote.host, vote.port) == ("a", *address("a"))


def test_answers_are_relayed_by_others_and_by_no_more_than_may():
    cluster = Cluster("abcdefghij", relay_max=3)
    layer = cluster["b"]
    query = Query(1, 2, *address("a"), "a", "load", b"", relay_factor=255)
    direct, *relayed = layer.respond(query, b"42")
    assert direct.address == address("a")
    assert len({send.address for send in relayed}) == 3
    assert not {address("a"), address("b")} & {send.address for send in relayed}
    relay = serf.decode(relayed[0].payload)
    assert relay == Relay(*address("a"), direct.payload, node="a")
    assert cluster["c"].received(relayed[0].payload, T0) == [Send(address("a"), direct.payload, "a")]


def test_who_cannot_relay_is_not_asked_to():
    layer = Layer("a", random.Random(1))
    for name in "ab":
        layer.alive(claim(name, BARE_VERSIONS), T0)
    assert len(layer.respond(Query(1, 2, *address("a"), "x", "load", b"", relay_factor=5), b"")) == 1


@pytest.mark.parametrize("relay", [Relay(bytes([10, 9, 9, 9]), 53, b"\x05\x80"), Relay(*address("b"), b"\x03\x80")])
def test_a_relay_carries_answers_to_members_alone(relay):
    assert Cluster()["a"].received(serf.encode(relay), T0) == []


def test_copies_of_an_answer_count_once():
    cluster = Cluster("abcde")
    asked = ask(cluster, relay_factor=3)
    cluster.do("b", cluster["b"].respond(asked.query, b"42"))
    assert asked.answers == {"b": b"42"}
    assert cluster["a"].asked.strays == 3


def test_queries_and_answers_that_are_too_large_are_refused():
    cluster = Cluster()
    with pytest.raises(ConfigurationError, match="1024"):
        cluster["a"].query("load", b"x" * 1000, address("a"), T0)
    asked = ask(cluster)
    with pytest.raises(ConfigurationError, match="1024"):
        cluster["b"].respond(asked.query, b"x" * 1000)


def test_a_query_without_a_time_out_gets_one_by_the_clusters_size():
    asked = ask(Cluster())
    assert asked.query.timeout_ns == 3_200_000_000


def test_keys_are_changed_everywhere_by_queries():
    cluster = Cluster()
    new = Key(b"n" * 32)
    for step in ("install-key", "use-key", "remove-key", "list-keys"):
        key = {"remove-key": Key(b"k" * 32), "list-keys": None}.get(step, new)
        asked = done(cluster, cluster["a"].change_keys(step, key, address("a"), T0))
        tally = KeyTally(3)
        for node, payload in asked.answers.items():
            tally.count(node, payload)
        assert tally.complete, (step, tally.messages)
    assert tally.keys == {new.text: 3}
    assert tally.primaries == {new.text: 3}


def test_a_cluster_that_changes_keys_another_way_does_not_ask_for_it_either():
    layer = Layer("a", random.Random(1), keyring=Keyring([Key(b"k" * 32)]), refuse_keys="sealed keys only")
    with pytest.raises(ConfigurationError, match="sealed keys only"):
        layer.change_keys("list-keys", None, address("a"), T0)


def test_the_others_say_who_has_this_members_name():
    cluster = Cluster()
    asked = done(cluster, cluster["a"].dispute(address("a"), T0))
    assert set(asked.answers) == {"b", "c"}, "who is asked about itself is no witness"
    said = serf.decode(asked.answers["c"])
    assert (said.node, (said.host, said.port), said.tags["role"]) == ("a", address("a"), "role-a")
    assert keeps_its_name(asked, "a", address("a"))
    assert not keeps_its_name(asked, "a", (bytes(4), 1))


def test_a_ping_is_answered_by_its_sign_alone():
    layer = Cluster()["b"]
    query = Query(1, 2, *address("a"), "a", "_serf_ping", b"", flags=QueryFlag.ACK)
    [send, spread] = layer.received(serf.encode(query), T0)
    assert serf.decode(send.payload).is_ack
    assert isinstance(spread, Spread)


@pytest.mark.parametrize("name", ["_serf_ping", "_serf_install-key", "_serf_of-later"])
def test_the_names_of_members_own_queries_are_not_a_users(name):
    with pytest.raises(ConfigurationError, match="members' own"):
        Cluster()["a"].query(name, b"", address("a"), T0)


# -- tags that match --------------------------------------------------------------------------------------------------

def test_expressions_are_matched_in_linear_time():
    pytest.importorskip("re2")
    assert filters.linear("^web", "web-1")
    assert not filters.linear("^web$", "web-1")
    assert not filters.linear("(a+)+$", "a" * 5000 + "b")
    assert not filters.linear("(", "(")
    assert not filters.linear(r"(?=a)", "a")


def test_a_tag_that_is_missing_is_empty_text():
    wanted = [serf.tag_to_filter(serf.TagFilter("zone", "^$"))]
    assert filters.passes(wanted, "a", {}, by_re)
    assert not filters.passes(wanted, "a", {"zone": "x"}, by_re)


def test_a_filter_that_cannot_be_read_lets_nobody_pass():
    assert not filters.passes([b"\x07"], "a", {}, by_re)
    assert filters.passes(None, "a", {}, by_re)


# -- acks -------------------------------------------------------------------------------------------------------------

def test_acks_carry_where_members_are():
    a, b = Cluster()["a"], Cluster()["b"]
    for _ in range(30):
        a.acked("b", Ack(1, b.ack_payload()), 0.02)
        b.acked("a", Ack(1, a.ack_payload()), 0.02)
    a.acked("b", Ack(1, None), 0.02)
    assert a.coordinates.of("b") is not None
    assert a.coordinates.own.error < 1.5
    with pytest.raises(BadPacket):
        a.acked("b", Ack(1, b"\x63"), 0.02)


def test_what_is_known_of_a_member_is_forgotten_with_it():
    layer = Cluster()["a"]
    layer.acked("b", Ack(1, layer.ack_payload()), 0.02)
    layer.gone("b", T0)
    assert [change.what for change in layer.tick(Instant(T0 + 86_401))] == ["forgotten"]
    assert layer.coordinates.of("b") is None


def test_new_tags_are_told():
    assert Cluster()["a"].updated(claim("b", zone="x"))[0].member.tags["zone"] == "x"
