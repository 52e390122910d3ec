# SPDX-License-Identifier: Apache-2.0
"""Who shows a certificate that counts bears its name; nobody else does."""

from __future__ import annotations

import pytest

from holdfast.errors import NotTrusted
from holdfast.gossip.signing import Algorithm, PrivateKey, PublicKey
from holdfast.gossip.trust.policy import Met
from holdfast.gossip.trust.records import encode
from holdfast.gossip.trust.revocations import revoke
from tests.unit.gossip.native.hamlet import Hamlet, Villager
from tests.unit.gossip.trust.people import DAY, NOW, Town


def public_of(identity):
    return PublicKey(Algorithm.ED25519, identity.signing)


def admitted(one, identity, credential, *, public=None, now=NOW):
    public = public or public_of(identity)
    return one.people.admit(public.id, public, encode(credential), now)


@pytest.fixture
def one():
    return Villager(Hamlet(), "one")


def test_who_is_certified_is_admitted_and_met(one):
    identity, credential = one.hamlet.town.citizen("two", since=NOW - 1000)
    assert admitted(one, identity, credential) == "two"
    assert (one.people.id_of("two"), one.people.name_of(identity.id)) == (identity.id, "two")
    assert list(one.people.happened) == [Met(credential)]


def test_nobody_else_is(one):
    town = one.hamlet.town
    identity, credential = town.citizen("two", since=NOW - 1000)
    other, _ = town.citizen("three")
    foreign = Town(7).citizen("two", since=NOW - 1000)
    assert admitted(one, *foreign) is None
    assert admitted(one, identity, credential, public=public_of(other)) is None  # another's certificate
    assert admitted(one, identity, credential, now=NOW + 400 * DAY) is None
    assert one.people.admit(b"", public_of(identity), b"\xff", NOW) is None
    rsa = PrivateKey.generate(Algorithm.ECDSA_P256).public
    assert admitted(one, identity, credential, public=rsa) is None
    town.revoked = revoke(town.issuer, None, town.cluster, node=identity.id, reason="", at_ms=NOW)
    one.trust.revocations.add(town.revoked)
    assert admitted(one, identity, credential) is None
    assert one.people.id_of("two") is None


def test_a_name_is_one_nodes_until_that_one_is_expelled(one):
    town = one.hamlet.town
    first, second = town.citizen("two", since=NOW - 1000), town.citizen("two", since=NOW - 1000)
    one.people.enter(town.anchor.member(first[1], NOW))
    with pytest.raises(NotTrusted, match="another node's"):
        one.people.enter(town.anchor.member(second[1], NOW))
    assert admitted(one, *second) is None
    assert one.people.id_of("two") == first[0].id
    one.trust.revocations.add(revoke(town.issuer, None, town.cluster, node=first[0].id, reason="", at_ms=NOW))
    assert one.people.expelled() == ["two"]
    assert one.people.expelled() == []
    one.people.enter(town.anchor.member(second[1], NOW))
    assert one.people.id_of("two") == second[0].id
    assert one.people.name_of(first[0].id) is None
