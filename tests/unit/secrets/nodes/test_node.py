# SPDX-License-Identifier: Apache-2.0
"""A node decides for itself whom it answers, and what."""

from __future__ import annotations

import os

import msgspec
import pytest

from holdfast._base.clock import SystemClock, WallMs
from holdfast._base.secret import Secret
from holdfast.errors import ConfigurationError, SecretDenied, SecretsDamaged
from holdfast.secrets import State
from holdfast.secrets.nodes import Caller, Circle, Disk, Identity, Node, Standing
from holdfast.secrets.nodes.keys import encrypt, seal
from holdfast.secrets.nodes.node import sealed_deal
from holdfast.secrets.nodes.record import WRITER, Entry, Proposal, Record, value_context
from holdfast.secrets.nodes.words import (
    PROPOSAL,
    REQUEST,
    Abandon,
    Accept,
    Activate,
    Adopt,
    Lines,
    Look,
    Named,
    Names,
    Prepare,
    Read,
    Redeal,
    Reply,
    Request,
    Retire,
    Seen,
    pack,
    unpack,
)
from tests.support.secret_circle import ID, caller, holder, seed

NAME, VALUE = "db/password", b"planted-4711-value"
CALLERS = (caller("admin"), caller("reader", "read"), caller("writer", "write"), caller("lister", "list"),
           caller("auditor", "audit"), caller("elsewhere", "read", "write", "list", "destroy", under=("web",)))
CIRCLE = Circle(ID, 1, 2, (holder(1, 1), holder(2, 2), holder(3, 3)), CALLERS)


class Hands:
    """A caller, who can do everything wrong."""

    def __init__(self, folder, decide=lambda *_: None):
        Disk.make(folder, seed("node 1"), Standing(CIRCLE))
        self.now = SystemClock().wall_ms()
        self.node = Node(folder, "n1", self, os.urandom, decide)

    def wall_ms(self):
        return WallMs(self.now)

    def box(self, ask, who="admin", key=None, **change):
        drawn = os.urandom(32)
        bare = msgspec.structs.replace(Request(ID, 1, who, "n1", self.now, ask), **change)
        start = Identity.public_of(drawn)
        signed = msgspec.structs.replace(bare, signature=Identity(seed(key or who)).sign(REQUEST, bare.bare(start)))
        return seal(pack(signed), CIRCLE.holders[0].box_key, REQUEST, lambda _: drawn)

    def ask(self, ask, who="admin", **change):
        box, back = self.box(ask, who, **change)
        return unpack(back.open(self.node.answer(box)), Reply)


@pytest.fixture
def hands(tmp_path):
    made = Hands(tmp_path / "n1")
    yield made
    made.node.close()


def proposal(name=NAME, by="admin", round_=1, key=None, entries=None, **change):
    data_key, set_id = b"k" * 32, b"the set."
    deal = sealed_deal(data_key, (ID, name, 1, set_id, 1), WRITER, CIRCLE, os.urandom)
    sealed = encrypt(data_key, VALUE, value_context(ID, name, 1))
    entry = Entry(1, 0, len(VALUE), State.LIVE, sealed, set_id, 1, 2, (deal,))
    bare = Proposal(ID, 1, (round_, by, "x"), Record(name, 1, (entry,) if entries is None else entries,
                                                     {"current": 1}), by)
    bare = msgspec.structs.replace(bare, **change)
    return msgspec.structs.replace(bare, signature=Identity(seed(key or by)).sign(PROPOSAL, bare.bare()))


def read(hands, who="admin", name=NAME, **change):
    return hands.ask(Read(name, None, "current", "act"), who, **change)


def test_a_share_is_given_to_who_may_read_and_it_is_written_down(hands):
    assert hands.ask(Accept(proposal())).error == ""
    seen = unpack(read(hands, "reader").body, Seen)
    assert len(seen.opened[WRITER]) == 48
    lines = unpack(hands.ask(Lines(), "auditor").body, list[bytes])
    assert b'"caller":"reader","action":"read","name":"db/password","version":1' in lines[-1]
    assert VALUE not in b"".join(lines)
    assert seen.opened[WRITER][16:].hex().encode() not in b"".join(lines)


def asks():
    new = msgspec.structs.replace(CIRCLE, epoch=2, signed_by="admin")
    return {
        "read": Read(NAME, None, "current", "act"), "look": Look(NAME), "prepare": Prepare(NAME, (9, "x", "")),
        "redeal": Redeal(NAME, CIRCLE, "act"), "adopt": Adopt(new), "abandon": Abandon(), "retire": Retire(new),
        "activate": Activate(), "lines": Lines()}


MAY = {"reader": {"read"}, "writer": {"look", "prepare"}, "lister": {"look"}, "auditor": {"lines"}, "elsewhere": set()}


@pytest.mark.parametrize("what", sorted(asks()))
@pytest.mark.parametrize("who", sorted(MAY))
def test_nobody_is_given_what_they_may_not_have(hands, who, what):
    hands.ask(Accept(proposal()))
    assert (hands.ask(asks()[what], who).error == "denied") is (what not in MAY[who])


def test_names_are_listed_to_who_may_list_them(hands):
    hands.ask(Accept(proposal())), hands.ask(Accept(proposal("web/key")))
    for who, names in (("lister", [NAME, "web/key"]), ("elsewhere", ["web/key"]), ("reader", [])):
        assert sorted(one.name for one in unpack(hands.ask(Names(), who).body, list[Named])) == names


def test_each_node_has_a_rule_of_its_own_which_is_asked_as_well(tmp_path):
    hands = Hands(tmp_path / "n1", lambda who, action, name: "not at night" if action == "read" else None)
    hands.ask(Accept(proposal()))
    reply = read(hands, "reader")
    assert (reply.error, reply.body) == ("denied", b"")
    assert reply.why == "n1 says no to read: not at night"
    assert b'"said":"no: not at night"' in unpack(hands.ask(Lines()).body, list[bytes])[-1]
    hands.node.close()


@pytest.mark.parametrize("change", [
    {"key": "reader"}, {"who": "nobody"}, {"circle": b"another circle.."}, {"to": "n2"}, {"at": 0},
    {"at": 2**41 * 2}], ids=["signature", "nobody", "circle", "node", "old", "ahead"])
def test_who_is_nobody_is_answered_nothing(hands, change):
    box, _ = hands.box(Look(NAME), change.pop("who", "admin"), **change)
    with pytest.raises(SecretDenied):
        hands.node.answer(box)


def test_a_request_counts_once(hands):
    box, back = hands.box(Read(NAME, None, "current", "act"))
    assert back.open(hands.node.answer(box))
    with pytest.raises(SecretDenied, match="before"):
        hands.node.answer(box)


def test_every_byte_of_a_box_and_of_its_answer_is_covered(hands):
    box, back = hands.box(Look(NAME))
    for place in range(len(box)):
        with pytest.raises((SecretsDamaged, SecretDenied)):
            hands.node.answer(box[:place] + bytes([box[place] ^ 1]) + box[place + 1:])
    answer = hands.node.answer(box)
    for place in range(len(answer)):
        with pytest.raises(SecretsDamaged):
            back.open(answer[:place] + bytes([answer[place] ^ 1]) + answer[place + 1:])
    for garbage in (b"", b"x" * 31, b"\0" * 80, os.urandom(200)):
        with pytest.raises(SecretsDamaged):
            hands.node.answer(garbage)


@pytest.mark.parametrize("wrong", [
    {"key": "reader"}, {"by": "reader"}, {"by": "elsewhere"}, {"circle": b"another circle.."}, {"epoch": 2},
    {"by": "nobody"}], ids=["signature", "reader", "elsewhere", "circle", "epoch", "nobody"])
def test_a_record_by_who_may_not_write_it_is_not_kept(hands, wrong):
    reply = hands.ask(Accept(proposal(**wrong)))
    assert reply.error == "denied"
    assert unpack(hands.ask(Look(NAME)).body, Seen).proposal is None


def test_a_record_is_kept_only_under_the_highest_ballot(hands):
    assert unpack(hands.ask(Prepare(NAME, (5, "w", "x"))).body, Seen).done
    assert not unpack(hands.ask(Accept(proposal(round_=4))).body, Seen).done
    assert not unpack(hands.ask(Prepare(NAME, (5, "v", "x"))).body, Seen).done
    assert unpack(hands.ask(Accept(proposal(round_=6))).body, Seen).done


def test_who_may_write_and_not_destroy_takes_nothing_away(hands):
    hands.ask(Accept(proposal()))
    assert hands.ask(Accept(proposal(by="writer", round_=2, entries=()))).error == "denied"
    assert hands.ask(Accept(proposal(round_=3, entries=()))).error == ""


def test_an_envelope_is_not_opened_under_another_name(hands):
    stolen = proposal().record.entries
    hands.ask(Accept(proposal("web/mine", by="elsewhere", entries=stolen)))
    seen = unpack(read(hands, "elsewhere", "web/mine").body, Seen)
    assert seen.opened == {}
    assert "box" in seen.fault


def test_a_new_circle_is_signed_by_who_may_reshare_and_follows_on_the_present_one(hands):
    new = msgspec.structs.replace(CIRCLE, epoch=2)
    signed_by = msgspec.structs.replace
    for wrong in (new, signed_by(new, signed_by="admin"), signed_by(new, signed_by="writer"),
                  msgspec.structs.replace(new, epoch=3, signed_by="admin")):
        for ask in (Adopt(wrong), Retire(wrong)):
            assert hands.ask(ask).error == "denied"
    assert hands.ask(Redeal(NAME, new, "act")).error == "denied"
    assert hands.node.circle == CIRCLE


def test_a_folder_has_one_node_and_survives_a_torn_line(tmp_path):
    hands = Hands(tmp_path / "n1")
    hands.ask(Accept(proposal()))
    with pytest.raises(ConfigurationError, match="another process"):
        Disk(tmp_path / "n1")
    hands.node.close()
    ledger = tmp_path / "n1" / "ledger"
    whole = ledger.read_bytes()
    ledger.write_bytes(whole + b'{"number":2,"at')
    Disk(tmp_path / "n1").close()
    assert ledger.read_bytes() == whole
    ledger.write_bytes(whole.replace(b"admin", b"nobod"))
    with pytest.raises(SecretsDamaged, match="ledger"):
        Disk(tmp_path / "n1")
    for name in ("identity", "circle"):
        (tmp_path / "n1" / name).unlink()
        with pytest.raises(SecretsDamaged):
            Disk(tmp_path / "n1")
    with pytest.raises(ConfigurationError):
        Disk(tmp_path / "nothing")


def test_identities_show_no_key():
    identity = Identity(Secret(b"planted-4711-value".ljust(32, b".")))
    assert "planted" not in repr(identity) + repr(vars(identity))
    assert isinstance(CALLERS[0], Caller)
    with pytest.raises(ConfigurationError):
        Identity(Secret(b"short"))
