# SPDX-License-Identifier: Apache-2.0
"""A forged message never passes one hop: three members in a row, each passes on what it accepted, byte for byte."""

from __future__ import annotations

import pytest

from holdfast.gossip.signing import Accepted, AskForKey, Blame, Kind, Reason, Registry, Verifier
from tests.unit.gossip.signing.forging import FIELDS, flipped, messages
from tests.unit.gossip.signing.town import CLUSTER, KEYS, NOW, ONE, outcome, signer, verifier

MESSAGES = messages()
ROW = ("a", "b", "c")


class Row:
    """Members a, b and c. liar: changes what it passes on, after it verified it."""

    def __init__(self, liar=None, change=None):
        self.members = {name: verifier() for name in ROW}
        self.liar, self.change = liar, change
        self.taken, self.blamed, self.bytes = [], [], set()

    def send(self, data, peer="outside"):
        for name in ROW:
            verdict = self.members[name].verify(data, peer, NOW)
            self.blamed += [(name, effect.peer, effect.reason) for effect in verdict.effects
                            if isinstance(effect, Blame)]
            if not isinstance(verdict.result, Accepted):
                break
            self.taken.append(name)
            self.bytes.add(verdict.result.data)
            data, peer = verdict.result.data, name
            if name == self.liar:
                data = self.change(data)
        return self


@pytest.mark.parametrize("name", list(MESSAGES))
def test_what_is_signed_reaches_the_end_as_the_very_bytes(name):
    row = Row().send(MESSAGES[name])
    assert (row.taken, row.blamed, row.bytes) == (["a", "b", "c"], [], {MESSAGES[name]})


@pytest.mark.parametrize("name", list(MESSAGES))
@pytest.mark.parametrize("field", FIELDS)
def test_a_forged_message_passes_nobody(name, field):
    for forged in flipped(MESSAGES[name], field):
        row = Row().send(forged)
        assert not row.taken
        assert {(who, peer) for who, peer, _ in row.blamed} <= {("a", "outside")}
        for further in ("b", "c"):
            assert row.members[further].counts == verifier().counts, "it heard nothing of it"


@pytest.mark.parametrize("name", list(MESSAGES))
def test_whoever_forges_in_the_middle_is_blamed_by_its_neighbour(name):
    row = Row("a", lambda data: data[:-1] + bytes([data[-1] ^ 1])).send(MESSAGES[name])
    assert row.taken == ["a"]
    assert row.blamed == [("b", "a", Reason.SIGNATURE)]


def test_whoever_signs_anothers_words_anew_says_them_itself():
    def claim(data):
        return signer("two").sign(Kind.USER, "prices", b"1.00", NOW)

    row = Row("a", claim).send(MESSAGES["user"])
    assert row.taken == ["a", "b", "c"]
    assert {row.members["c"].verify(data, "x", NOW).result.envelope.origin for data in row.bytes} == {
        ONE.public.id, KEYS["two"].public.id}


def test_a_key_comes_by_the_way_its_message_came():
    """b knows nobody. It asks a, a gives what the origin showed, and what waited is passed on."""
    def door(origin, public, shown, now):
        return "one" if shown == b"a certificate" else None

    a, b = (Verifier(CLUSTER, Registry(), admission=door) for _ in range(2))
    a.verify(MESSAGES["key"], "origin", NOW)
    data = a.verify(MESSAGES["user"], "origin", NOW).result.data
    asked = b.verify(data, "a", NOW).effects
    assert asked == (AskForKey("a", ONE.public.id, ONE.public.id),)
    assert outcome(b.verify(a.announcement(asked[0].key_id, NOW), "a", NOW)) == "Accepted"
    assert [verdict.result.data for _, verdict in b.release(ONE.public.id, NOW)] == [data]
