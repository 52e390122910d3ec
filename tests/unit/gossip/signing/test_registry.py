# SPDX-License-Identifier: Apache-2.0
"""A key is one node's, a name is one node's, and a revoked key stays known."""

from __future__ import annotations

import pytest

from holdfast.errors import NotTrusted
from holdfast.gossip.signing import Algorithm, Registry
from tests.unit.gossip.signing.town import NOW, ONE, P256, THREE, TWO


def bound(*keys):
    registry = Registry()
    for name, key in keys:
        registry.bind(key.public, name)
    return registry


def test_a_key_leads_to_its_node_and_its_name():
    registry = bound(("one", ONE))
    found = registry.find(ONE.public.id)
    assert (found.public, found.node_id, found.name) == (ONE.public, ONE.public.id, "one")
    assert registry.name_of(ONE.public.id) == "one"
    assert registry.node_of("one") == ONE.public.id
    assert registry.find(TWO.public.id) is registry.name_of(TWO.public.id) is registry.node_of("two") is None


def test_the_same_again_changes_nothing():
    registry = bound(("one", ONE))
    assert registry.bind(ONE.public, "one") == registry.find(ONE.public.id)
    assert len(registry) == 1


def test_a_name_is_one_nodes():
    registry = bound(("one", ONE))
    with pytest.raises(NotTrusted):
        registry.bind(TWO.public, "one")
    assert registry.find(TWO.public.id) is None
    assert registry.node_of("one") == ONE.public.id


def test_a_node_has_one_name():
    registry = bound(("one", ONE))
    with pytest.raises(NotTrusted):
        registry.bind(ONE.public, "two")


def test_a_further_key_is_for_a_known_node_by_its_name():
    registry = bound(("one", ONE), ("two", TWO))
    for node_id, name in ((THREE.public.id + b"", "one"), (ONE.public.id, "two"), (b"\0" * 32, "other")):
        with pytest.raises(NotTrusted):
            registry.bind(P256.public if node_id == THREE.public.id else THREE.public, name, node_id=node_id)
    registry.bind(THREE.public, "one", node_id=ONE.public.id)
    assert registry.find(THREE.public.id).node_id == ONE.public.id


def test_keys_of_algorithms_that_are_not_on_the_list_are_not_taken():
    with pytest.raises(NotTrusted):
        Registry().bind(P256.public, "four")
    assert Registry([Algorithm.ECDSA_P256]).bind(P256.public, "four")
    with pytest.raises(NotTrusted):
        Registry([Algorithm.ECDSA_P256]).bind(ONE.public, "one")


def test_it_is_bounded():
    registry = Registry(keys_max=2)
    registry.bind(ONE.public, "one")
    registry.bind(TWO.public, "two")
    with pytest.raises(NotTrusted) as refused:
        registry.bind(THREE.public, "three")
    assert refused.value.why == "exhausted"
    assert registry.bind(ONE.public, "one")
    registry.forget(ONE.public.id)
    registry.bind(THREE.public, "three")
    assert (len(registry), registry.node_of("one")) == (2, None)


def test_a_revoked_key_stays_known_and_cannot_come_back_under_any_name():
    registry = bound(("one", ONE))
    assert registry.revoke(ONE.public.id)
    assert registry.find(ONE.public.id).revoked_ms == 0
    for name in ("one", "again"):
        with pytest.raises(NotTrusted) as refused:
            registry.bind(ONE.public, name)
        assert refused.value.why == "revoked"


def test_a_revocation_moves_back_and_never_forward():
    registry = bound(("one", ONE))
    assert registry.revoke(ONE.public.id, NOW)
    assert not registry.revoke(ONE.public.id, NOW + 1)
    assert registry.revoke(ONE.public.id, NOW - 1)
    assert registry.find(ONE.public.id).revoked_ms == NOW - 1
    assert not registry.revoke(TWO.public.id)


def test_a_name_may_be_taken_over_when_all_of_its_nodes_keys_are_revoked():
    registry = bound(("one", ONE))
    registry.bind(TWO.public, "one", node_id=ONE.public.id)
    registry.revoke(ONE.public.id)
    with pytest.raises(NotTrusted):
        registry.bind(THREE.public, "one")
    registry.revoke(TWO.public.id)
    assert registry.bind(THREE.public, "one").node_id == THREE.public.id
    registry.forget(ONE.public.id)
    assert registry.node_of("one") == THREE.public.id, "what is forgotten takes no name away from its heir"
