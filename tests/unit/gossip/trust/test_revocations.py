# SPDX-License-Identifier: Apache-2.0
"""Lists of the revoked grow, and are the same everywhere in whatever order they got about."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import BadPacket, NotTrusted
from holdfast.gossip.trust.admission import Vouched
from holdfast.gossip.trust.revocations import Revocation, Revocations, revoke
from tests.unit.gossip.trust.people import CLUSTER, DAY, NOW, Town

TOWN = Town()
SHERIFF, SHERIFF_CREDENTIAL = TOWN.citizen("sheriff", "revoke")
NODES = [TOWN.citizen(f"n{n}")[0].id for n in range(6)]
#: Two words on the same node, by two who may, among others: which one stands is a question of hashes.
ENTRIES = [*[revoke(TOWN.issuer, None, CLUSTER, node=node, reason=f"r{n}", at_ms=NOW + n)
             for n, node in enumerate(NODES)],
           *[revoke(SHERIFF, SHERIFF_CREDENTIAL, CLUSTER, node=node, reason="too", at_ms=NOW) for node in NODES[:3]],
           *[revoke(SHERIFF, SHERIFF_CREDENTIAL, CLUSTER, serial=bytes([n]) * 16, reason="", at_ms=NOW)
             for n in range(1, 4)]]
parts = st.lists(st.sampled_from(ENTRIES), max_size=15)


def merged(*lists):
    """One list into which the others were merged, from the left."""
    whole = Revocations(TOWN.anchor)
    for entries in lists:
        whole.merge(Revocations(TOWN.anchor, entries).entries)
    return whole


def same(one, other):
    return one.digest == other.digest and one.entries == other.entries and one.marks == other.marks


@given(parts, parts, parts)
def test_merging_is_commutative_associative_and_idempotent(a, b, c):
    assert same(merged(a, b), merged(b, a))
    assert same(merged(merged(a, b).entries, c), merged(a, merged(b, c).entries))
    assert same(merged(a, a), merged(a))
    assert same(merged(a, b, a, b, b), merged(a, b))


@given(parts, parts)
def test_a_list_only_grows(a, b):
    before, after = merged(a), merged(a, b)
    assert after.digest.version >= before.digest.version
    assert before.nodes <= after.nodes


@given(parts, parts)
def test_what_is_missing_makes_two_lists_one(a, b):
    one, two = merged(a), merged(b)
    to_two, to_one = one.missing(two.marks), two.missing(one.marks)
    one.merge(to_one)
    two.merge(to_two)
    assert same(one, two)
    assert not one.missing(two.marks)


def test_the_digest_tells_lists_apart():
    digests = {Revocations(TOWN.anchor, ENTRIES[:n]).digest for n in range(6)}
    assert len(digests) == 6
    assert [Revocations(TOWN.anchor, ENTRIES[:n]).digest.version for n in range(6)] == list(range(6))


def test_only_new_entries_are_news():
    book = Revocations(TOWN.anchor)
    assert book.merge(ENTRIES[:2]) == ENTRIES[:2]
    assert book.merge(ENTRIES[:3]) == ENTRIES[2:3]
    assert book.names(NODES[0], b"")
    assert not book.names(NODES[3], bytes(16))


def refused(entry):
    book = Revocations(TOWN.anchor)
    with pytest.raises((NotTrusted, BadPacket)):
        book.add(entry)
    assert not book.entries


def test_who_may_not_expel_expels_nobody():
    member, credential = TOWN.citizen("one", "rotate", "admit")
    refused(revoke(member, credential, CLUSTER, node=NODES[0], reason="", at_ms=NOW))
    refused(revoke(member, None, CLUSTER, node=NODES[0], reason="", at_ms=NOW))
    refused(revoke(member, SHERIFF_CREDENTIAL, CLUSTER, node=NODES[0], reason="", at_ms=NOW))
    refused(revoke(TOWN.issuer, None, b"there", node=NODES[0], reason="", at_ms=NOW))


def test_an_entry_counts_for_the_time_it_says_and_not_for_when_it_came():
    brief, credential = TOWN.citizen("brief", "revoke", days=1)
    refused(revoke(brief, credential, CLUSTER, node=NODES[0], reason="", at_ms=NOW + 2 * DAY))
    Revocations(TOWN.anchor, [revoke(brief, credential, CLUSTER, node=NODES[0], reason="", at_ms=NOW + DAY)])


def test_an_entry_stands_when_who_signed_it_is_expelled():
    """Either way round: or lists would differ by the order in which they were read, and the expelled come back."""
    by = revoke(SHERIFF, SHERIFF_CREDENTIAL, CLUSTER, node=NODES[0], reason="", at_ms=NOW)
    of = revoke(TOWN.issuer, None, CLUSTER, node=SHERIFF.id, reason="", at_ms=NOW)
    assert same(merged([by, of]), merged([of, by]))
    assert merged([by, of]).nodes == {NODES[0], SHERIFF.id}


@pytest.mark.parametrize(("node", "serial", "reason"), [
    ("", b"", ""), ("node", b"", ""), ("", b"short", ""), ("a" * 32, bytes(16), ""), ("a" * 32, b"", "r" * 201)])
def test_an_entry_names_one_thing(node, serial, reason):
    refused(Vouched(TOWN.issuer.sign(CLUSTER, Revocation(node, serial, reason, NOW)), None))


def test_a_changed_entry_does_not_count():
    said = ENTRIES[0].said
    for at in range(0, len(said.body), 3):
        body = said.body[:at] + bytes([said.body[at] ^ 1]) + said.body[at + 1:]
        refused(Vouched(msgspec.structs.replace(said, body=body), None))
