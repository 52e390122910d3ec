# SPDX-License-Identifier: Apache-2.0
"""All defences together: who is to blame pays, who is not does not, and everything is counted and written."""

from __future__ import annotations

import json
import random

import msgspec
import pytest

from holdfast.errors import ConfigurationError
from holdfast.gossip.defence import OFF, Defences, Guard, Seams
from holdfast.gossip.defence.acts import (
    AuditWith,
    Banned,
    CompareWith,
    Incoming,
    Report,
    Rotate,
    Solicit,
    Tell,
)
from holdfast.gossip.defence.audit import verify
from holdfast.gossip.defence.bans import Banning
from holdfast.gossip.defence.buckets import Limits
from holdfast.gossip.defence.peers import Candidate
from holdfast.gossip.defence.scores import Scoring
from holdfast.gossip.defence.subnets import Places
from holdfast.gossip.defence.validation import Judged, Verdict
from holdfast.gossip.defence.views import bucket_of, encode_entries
from holdfast.gossip.messages import Dead, Suspect

LIVE = frozenset("abcdefgh")
WHERE = b"\x0a\x00\x00\x01\x1f\x0a"


@pytest.fixture
def guard(signers):
    def make(name="g", defences=None, **seams):
        return Guard(name, signers.seams(name, **seams), defences)
    return make


def id_of(number):
    return number.to_bytes(16, "big")


def incoming(number=1, peer="p", topic="news", payload=b"x", **changed):
    return Incoming(peer, topic, id_of(number), payload, **changed)


def stated(signers, number, value, *, id_=1, peer="p", origin="liar"):
    signed = signers.statement(origin, "state", number, value)
    return incoming(id_, peer, origin=origin, statement=signers.open(signed), signed=signed)


# Messages.

def test_a_message_is_accepted_once(guard):
    here = guard()
    found = [here.message(incoming(peer=peer), 0.0) for peer in ("p", "q", "p")]
    assert [(one.verdict, one.why) for one in found] == [
        (Verdict.ACCEPT, ""), (Verdict.IGNORE, "duplicate"), (Verdict.IGNORE, "repeat")]
    assert here.score("p", 0.0).parts["first"] > 0
    assert here.score("q", 0.0).total == 0


def test_a_false_message_is_rejected_from_whoever_brings_it_and_judged_once(guard):
    here, judged = guard(), []
    here.validators.add("news", lambda one: judged.append(one) or Judged(Verdict.REJECT, "balance", 3.0))
    for peer in ("p", "q"):
        found = here.message(incoming(peer=peer), 0.0)
        assert found.verdict is Verdict.REJECT
        assert here.score(peer, 0.0).parts["invalid"] == -10.0
    assert len(judged) == 1
    assert here.score("p", 0.0).parts["application"] == -3.0
    assert here.digest(100.0) == ()  # it is not offered to anybody


def test_an_ignored_message_costs_nobody_and_may_come_again(guard):
    here, verdicts = guard(), [Verdict.IGNORE, Verdict.ACCEPT]
    here.validators.add("news", lambda _: verdicts.pop(0))
    assert here.message(incoming(), 0.0).verdict is Verdict.IGNORE
    assert here.score("p", 0.0).total == 0
    assert here.message(incoming(), 0.0).verdict is Verdict.ACCEPT


def test_a_peer_that_brings_what_is_false_is_graylisted_then_banned_then_back(guard):
    here, acts = guard(), []
    for _ in range(5):
        acts += here.bad("p", "signature", 0.0)
    assert here.message(incoming(peer="p"), 0.0).why == "graylist"
    while not acts:
        acts += here.bad("p", "signature", 0.0)
    assert [(type(act), act.ban.why) for act in acts] == [(Banned, "score: invalid")]
    assert here.arriving("p", WHERE, 10, 1.0) == "banned"
    assert here.message(incoming(peer="p"), 1.0).why == "banned"
    assert here.admit("p", "10.0.0.1", "", 1.0) == "banned"
    # After the ban it is on the graylist until half of it is forgotten, and then as before.
    assert here.arriving("p", WHERE, 10, 601.0) is None
    assert here.message(incoming(peer="p"), 3_000.0).verdict is Verdict.ACCEPT


def test_what_is_too_much_is_refused_and_charged_where_it_is_sure_whose_it_is(guard):
    here = guard(defences=Defences(limits=Limits(peer_messages_s=1, burst_s=1)))
    assert [here.arriving("p", WHERE, 10, 0.0, surely=True) for _ in range(3)] == [None, "peer rate", "peer rate"]
    assert here.score("p", 0.0).parts["rate"] == -1.0
    for _ in range(1_000):
        here.arriving("victim", WHERE, 10, 0.0)
    assert here.score("victim", 0.0).total == 0


def test_what_is_too_much_for_all_together_is_nobodys_fault(guard):
    here = guard(defences=Defences(limits=Limits(all_messages_s=1, burst_s=1)))
    found = [here.arriving(f"p{number}", WHERE, 10, 0.0, surely=True) for number in range(3)]
    assert found == [None, "all rate", "all rate"]
    assert all(here.score(f"p{number}", 0.0).total == 0 for number in range(3))


# Equivocation.

def test_who_says_two_things_is_banned_here_and_wherever_the_proof_comes(guard, signers):
    here, there = guard("g"), guard("h")
    assert here.message(stated(signers, 1, b"a", id_=1), 0.0).verdict is Verdict.ACCEPT
    found = here.message(stated(signers, 1, b"b", id_=2), 0.0)
    proof, ban = found.acts
    assert (found.verdict, found.why, ban.ban.name) == (Verdict.IGNORE, "equivocation", "liar")
    assert here.message(stated(signers, 2, b"c", id_=3), 10**9).why == "banned origin"
    assert here.score("p", 0.0).total >= 0  # the bearer is not to blame
    told, banned = there.proof("g", proof.data, 0.0)
    assert told == proof
    assert banned.ban.name == "liar"
    assert there.proof("f", proof.data, 0.0) == ()  # spread once
    assert there.score("f", 0.0).total == 0
    assert there.inspect(0.0).convicted == ("liar",)


def test_a_proof_that_proves_nothing_is_charged_to_who_brought_it(guard, signers):
    here = guard()
    forged = msgspec.msgpack.encode([signers.statement("victim", "s", 1, b"a"),
                                     signers.statement("victim", "s", 1, b"b", by="p")])
    assert here.proof("p", forged, 0.0) == ()
    assert here.proof("q", b"nonsense", 0.0) == ()
    assert not here.ledger.banned("victim", 0.0)
    assert here.score("p", 0.0).parts["invalid"] == here.score("q", 0.0).parts["invalid"] == -10.0


# Deaths.

def test_a_death_goes_from_a_suspicion_to_a_certificate_that_convinces_all(guard):
    members, chance, spread = {name: guard(name) for name in "abcd"}, random.Random(1), []
    for name in "abc":
        for data in spread:
            assert not members[name].accused("p", data, LIVE, 1.0).allowed
        burial = members[name].bury("h", 1, LIVE, 1.0, chance)
        spread += [act.data for act in burial.acts if isinstance(act, Tell) and act.what == "accusation"]
        assert burial.allowed == (name == "c")
        assert any(isinstance(act, Solicit) for act in burial.acts) == (name != "c")
    (certificate,) = burial.acts
    assert certificate.what == "certificate"
    believed = members["d"].accused("c", certificate.data, LIVE, 2.0)
    assert believed.allowed
    assert [act.what for act in believed.acts] == ["certificate"]
    assert members["d"].accused("b", certificate.data, LIVE, 2.0).acts == ()
    assert members["d"].gate(Dead(1, "h", "a"), LIVE, 2.0) == Dead(1, "h", "a")
    assert members["d"].bury("h", 1, frozenset("defgh"), 3.0, chance).allowed  # the accusers died since


def test_a_liars_death_is_an_accusation_and_is_counted(guard):
    here = guard()
    assert here.gate(Dead(1, "h", "liar"), LIVE, 0.0) == Suspect(1, "h", "liar")
    assert here.inspect(0.0).counts["deaths: uncertified"] == 1


def test_a_forged_certificate_is_charged_and_what_is_passed_on_was_verified(guard):
    here, liar = guard(), guard("x")
    forged = guard("a", cluster=b"other").bury("h", 1, LIVE, 0.0, random.Random(1)).acts[0].data
    assert not here.accused("p", forged, LIVE, 0.0).allowed
    assert here.score("p", 0.0).parts["invalid"] == -10.0
    stranger = liar.bury("h", 1, LIVE, 0.0, random.Random(1)).acts[0].data
    assert here.accused("p", stranger, LIVE, 0.0).acts == ()


def test_a_refuted_suspicion_is_counted(guard):
    here = guard()
    here.bury("h", 1, LIVE, 0.0, random.Random(1))
    here.refuted("h", 2)
    here.refuted("h", 2)
    assert here.inspect(0.0).counts["deaths: refuted"] == 1


# Members, peers, targets.

def test_a_swarm_of_one_network_is_kept_out_and_not_counted_by_its_networks(guard):
    here = guard(defences=Defences(places=Places(v4=((24, 3),))))
    found = [here.admit(f"s{number}", bytes([10, 1, 1, number]), "", 0.0) for number in range(10)]
    assert found == [None] * 3 + ["10.1.1.0/24"] * 7
    assert {name for name in here.inspect(0.0).counts if name.startswith("admit")} == {"admit: network", "admitted"}
    here.left("s0", 1.0)
    assert here.admit("s9", bytes([10, 1, 1, 9]), "", 2.0) is None


@pytest.mark.parametrize("places", [Places(), None], ids=["on", "off"])
def test_many_members_on_one_machine_are_no_crowd_and_elsewhere_they_are(guard, places):
    here = guard(defences=Defences(places=places))
    for number in range(30):
        here.admit(f"home{number}", b"\x7f\0\0\1", "", 0.0)
        here.admit(f"away{number}", bytes([10, 1, 1, 1]), "", 0.0)
    assert here.message(incoming(1, peer="home29"), 0.0).verdict is Verdict.ACCEPT
    assert here.message(incoming(2, peer="away29"), 0.0).why == "graylist"
    here.left("home0", 1.0)
    assert here.score("home0", 1.0).parts["uptime"] == 0.0


def test_an_own_message_goes_to_many_and_anothers_to_a_few_and_to_nobody_banned(guard, signers):
    here, peers = guard(), [f"p{number}" for number in range(50)]
    for value in (b"a", b"b"):
        here.message(stated(signers, 1, value, id_=value[0], origin="p0", peer="q"), 0.0)
    for seed in range(30):
        own = here.targets(id_of(1), peers, 3, 0.0, random.Random(seed), own=True)
        others = here.targets(id_of(2), peers, 3, 0.0, random.Random(seed))
        assert (len(set(own)), len(set(others))) == (16, 3)
        assert "p0" not in own + others


def test_peers_on_the_graylist_get_what_is_over(guard):
    here = guard()
    for _ in range(5):
        here.bad("gray", "x", 0.0)
    assert "gray" not in here.targets(id_of(1), ["gray", "a", "b"], 2, 0.0, random.Random(1))
    assert "gray" in here.targets(id_of(1), ["gray", "a", "b"], 3, 0.0, random.Random(1))


def test_neither_the_banned_nor_the_graylisted_are_chosen(guard):
    here = guard()
    for _ in range(5):
        here.bad("gray", "x", 0.0)
    for _ in range(9):
        here.bad("banned", "x", 0.0)
    known = [Candidate(name, name) for name in ("gray", "banned", "a", "b")]
    assert set(here.choose(known, 0.0, random.Random(1)).peers) == {"a", "b"}
    assert len(here.anchors()) == 2


# Pulls, audits, views.

def test_an_answer_to_a_claimed_address_has_so_many_bytes(guard):
    here = guard()
    here.arriving("p", WHERE, 100, 0.0)
    assert here.room(WHERE, 0.0, 10_000) == 300
    assert not here.may_answer(WHERE, 301, 0.0)
    assert here.prove(WHERE, here.cookie(WHERE, 0.0), 1.0)
    assert here.may_answer(WHERE, 10_000, 1.0)
    assert here.inspect(1.0).answers_refused == 1


def test_promises_that_are_not_kept_cost_score(guard):
    here = guard()
    for turn in range(3):
        here.audited("liar", [id_of(turn * 10 + number) for number in range(10)], turn * 20.0)
        here.tick([], turn * 20.0 + 6, random.Random(1))
    assert here.score("liar", 46.0).parts["missing"] < -10
    assert here.inspect(46.0).coverage == 0.0


def test_views_that_stay_different_are_reported_and_lies_about_them_charged(guard):
    here, there, ours = guard("g"), guard("p"), [(name, 1) for name in "abcdefgh"]
    theirs = [*ours, ("ghost", 1)]
    for turn in range(4):
        fetch, acts = here.viewed("p", there.view(turn, theirs), ours, turn * 30.0)
        assert acts == ()
    entries = encode_entries(entry for entry in theirs if bucket_of(entry[0]) in fetch.buckets)
    assert here.named(fetch, encode_entries([]), [], 90.0) == ()
    assert here.score("p", 90.0).parts["invalid"] == -10.0
    (report,) = here.named(fetch, entries, [(name, incarnation, 0.0) for name, incarnation in ours], 90.0)
    assert isinstance(report, Report)
    assert report.split.only_there == ("ghost",)
    assert here.inspect(90.0).splits == (report.split,)


@pytest.mark.parametrize("data", ["another's", "forged", b"", b"\x95" + bytes(5), bytes(5_000)],
                         ids=["another", "forged", "empty", "shape", "large"])
def test_a_view_that_is_not_the_peers_own_is_charged(guard, data):
    here, ours = guard("g"), [("a", 1)]
    if data == "another's":
        data = guard("q").view(1, ours)
    elif data == "forged":
        data = guard("p", cluster=b"other").view(1, ours)
    assert here.viewed("p", data, ours, 0.0) == (None, ())
    assert here.score("p", 0.0).parts["invalid"] == -10.0
    assert here.inspect(0.0).views_compared == 0


def test_who_is_asked_to_probe_does_so_once_in_a_while_and_never_itself(guard):
    here = guard("g")
    live = LIVE | {"g"}
    assert [here.asked("h", 1, live, now) for now in (0.0, 1.0, 2.0)] == [True, False, True]
    assert not here.asked("g", 1, live, 0.0)
    assert not here.asked("stranger", 1, live, 0.0)
    (told,) = here.accuse("h", 1, 3.0)
    assert told.what == "accusation"
    assert not here.asked("h", 1, live, 10.0)  # it has spoken
    assert guard("a").accused("g", told.data, live, 3.0).acts == (told,)


def test_a_tick_says_what_is_due_and_no_sooner(guard):
    here, chance, seen = guard(), random.Random(1), []
    for second in range(600):
        seen += [(second, type(act)) for act in here.tick(["p", "q"], float(second), chance)]
    by = {kind: [at for at, one in seen if one is kind] for kind in (AuditWith, CompareWith, Rotate)}
    assert 58 <= len(by[AuditWith]) <= 60
    assert 38 <= len(by[CompareWith]) <= 40
    assert len(by[Rotate]) in (1, 2)
    assert here.tick([], 10_000.0, chance) == (Rotate(),)


# What is seen, what is off.

def test_every_decision_that_matters_is_in_the_chain_and_no_payload_is(guard, signers):
    lines = []
    here = guard(sink=lines.append)
    here.validators.add("secret", lambda _: Judged(Verdict.REJECT, "balance"))
    here.admit("p", "10.0.0.1", "issuer-1", 0.0)
    here.message(incoming(7, topic="secret", payload=b"the payload"), 1.0)
    for value in (b"a", b"b"):
        here.message(stated(signers, 1, value, id_=value[0]), 2.0)
    here.unban("liar", 3.0)
    assert [json.loads(one)["what"] for one in lines] == ["admission", "reject", "equivocation", "ban", "unban"]
    assert verify(lines, here.inspect(3.0).head) is None
    assert b"the payload" not in b"".join(lines)


def test_duplicates_fill_no_log(guard):
    lines = []
    here = guard(sink=lines.append)
    for number in range(1_000):
        here.message(incoming(peer=f"p{number}"), 0.0)
    assert lines == []


def test_with_all_defences_off_everything_passes_and_nobody_is_bad(signers):
    here, chance = Guard("g", Seams(), OFF), random.Random(1)
    assert here.arriving("p", WHERE, 10**9, 0.0, surely=True) is None
    for _ in range(100):
        assert here.bad("p", "x", 0.0) == ()
    here.validators.add("news", lambda _: Verdict.REJECT)
    assert here.message(incoming(peer="p"), 0.0).verdict is Verdict.ACCEPT
    assert all(here.message(stated(signers, 1, value, id_=10 + value[0]), 0.0).verdict is Verdict.ACCEPT
               for value in (b"a", b"b"))
    assert here.gate(Dead(1, "h", "liar"), LIVE, 0.0) == Dead(1, "h", "liar")
    assert here.bury("h", 1, LIVE, 0.0, chance).allowed
    assert all(here.admit(f"s{number}", bytes([10, 1, 1, number]), "", 0.0) is None for number in range(200))
    assert len(here.targets(id_of(2), [f"p{number}" for number in range(50)], 3, 0.0, chance, own=True)) == 3
    assert here.may_answer(WHERE, 10**6, 0.0)
    assert here.choose([Candidate("a", "a")], 0.0, chance).peers == ("a",)
    assert here.audited("p", [id_of(9)], 0.0)[0].pull == ()
    assert here.tick(["p"], 10**6, chance) == ()
    assert here.inspect(0.0).bans == ()


def test_a_score_alone_bans_nobody_and_bans_alone_judge_nobody(guard):
    scores_only, bans_only = guard(defences=Defences(banning=None)), guard(defences=Defences(scoring=None))
    for _ in range(50):
        assert scores_only.bad("p", "x", 0.0) == bans_only.bad("p", "x", 0.0) == ()
    assert scores_only.message(incoming(peer="p"), 0.0).why == "graylist"
    assert bans_only.message(incoming(peer="p"), 0.0).verdict is Verdict.ACCEPT
    with pytest.raises(ConfigurationError, match="bans are off"):
        scores_only.ledger.ban("p", "x", 0.0)


@pytest.mark.parametrize(("seams", "what"), [({"sign": None}, "quorum"), ({"verify": None}, "quorum"),
                                             ({"open": None}, "watching"),
                                             ({"secret": b""}, "secret")],
                         ids=["sign", "verify", "open", "secret"])
def test_a_defence_that_lacks_what_it_needs_says_so(guard, seams, what):
    with pytest.raises(ConfigurationError, match=what):
        guard(**seams)


def test_rejected_ids_have_a_bound(guard):
    here = guard(defences=Defences(scoring=Scoring(), banning=Banning(), validation=Defences().validation))
    here.validators.add("news", lambda _: Verdict.REJECT)
    for number in range(5_000):
        here.message(incoming(number, peer=f"p{number}"), 0.0)
    assert len(here._rejected) == 4_096


def test_flood_below_nothing_is_refused():
    with pytest.raises(ConfigurationError, match="flood"):
        Defences(flood=-1)


def test_what_a_member_refuted_is_forgotten_with_the_member(guard):
    here = guard()
    here.refuted("h", 3)
    (old,) = guard("a").accuse("h", 2, 0.0)
    assert here.accused("a", old.data, {"g", "a", "h"}, 0.0).acts == ()
    here.left("h", 0.0)
    (tell,) = here.accused("a", old.data, {"g", "a", "h"}, 0.0).acts
    assert tell.what == "accusation"
