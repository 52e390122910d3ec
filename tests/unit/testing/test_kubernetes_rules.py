# SPDX-License-Identifier: Apache-2.0
"""The API server of the fault kit refuses what a real one refuses, and what a test of ours must not get away with."""

from __future__ import annotations

import pytest

from holdfast.testing.kubernetes_rules import LeaseRules, Refused, allowed, parse_selector


def body(name="a", *, metadata=None, **spec):
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name, **(metadata or {})},
            "spec": spec}


def refused(call, *args):
    with pytest.raises(Refused) as caught:
        call(*args)
    return caught.value.status, caught.value.reason


@pytest.mark.parametrize(("bad", "status"), [
    (body("A"), 422), (body(""), 422), (body("a" * 254), 422), (body("a..b"), 422),
    (body(leaseDurationSeconds=0), 422), (body(leaseTransitions=-1), 422), (body(leaseDurationSeconds=2**31), 422),
    (body(leaseDurationSeconds="30"), 400), (body(leaseDurationSeconds=True), 400), (body(holderIdentity=7), 400),
    (body(renewTime="2030-01-01T00:00:00Z"), 400), (body(renewTime="2030-01-01T00:00:00.123Z"), 400),
    (body(renewTime="2030-01-01T00:00:00.1234567Z"), 400), (body(colour="red"), 400),
    (body(metadata={"colour": "red"}), 400), (body(metadata={"namespace": "other"}), 400),
    (body(metadata={"labels": {"a": "not a label"}}), 422), (body(metadata={"labels": {"a/b/c": "x"}}), 422),
    (body(metadata={"labels": {"a": "x" * 64}}), 422), (body(metadata={"annotations": {"a": 7}}), 422),
    (body(metadata={"annotations": {"a": "x" * 300_000}}), 422), ({**body(), "kind": "Pod"}, 400),
    (body(metadata={"resourceVersion": "7"}), 500),
])
def test_what_is_no_lease_is_not_made(bad, status):
    assert refused(LeaseRules().create, "default", bad)[0] == status


def test_a_write_with_an_old_version_is_refused_and_one_without_any_too():
    rules = LeaseRules()
    first = rules.create("default", body())
    second = rules.update("default", "a", first)
    assert int(second["metadata"]["resourceVersion"]) > int(first["metadata"]["resourceVersion"])
    assert refused(rules.update, "default", "a", first) == (409, "Conflict")
    assert refused(rules.update, "default", "a", body()) == (422, "Invalid")
    assert refused(rules.create, "default", body()) == (409, "AlreadyExists")


def test_a_put_on_what_is_gone_makes_it_unless_it_knows_the_uid():
    rules = LeaseRules()
    read = rules.create("default", body())
    rules.delete("default", "a")
    assert refused(rules.update, "default", "a", read) == (409, "Conflict")
    del read["metadata"]["uid"]
    assert rules.update("default", "a", read)["metadata"]["uid"]


def test_names_and_what_the_server_has_given_cannot_be_changed():
    rules = LeaseRules()
    read = rules.create("default", body(metadata={"generation": 3}))

    def with_(**metadata):
        return {**read, "metadata": {**read["metadata"], **metadata}}

    assert refused(rules.update, "default", "b", read) == (400, "BadRequest")
    assert refused(rules.update, "default", "a", with_(uid="another")) == (409, "Conflict")
    assert refused(rules.update, "default", "a", with_(creationTimestamp="2001-01-01T00:00:00Z")) == (422, "Invalid")
    assert refused(rules.update, "default", "a", with_(generation=2)) == (422, "Invalid")
    assert refused(rules.get, "other", "a") == (404, "NotFound")
    assert refused(rules.delete, "default", "b") == (404, "NotFound")


def test_lists_are_by_label_and_namespace_and_their_items_have_no_kind():
    rules = LeaseRules()
    for name, labels in (("a", {"x": "1"}), ("b", {"x": "1", "y": "2"}), ("c", {})):
        rules.create("default", body(name, metadata={"labels": labels}))
    rules.create("other", body("d", metadata={"labels": {"x": "1"}}))
    found = rules.list("default", "x=1")["items"]
    assert [item["metadata"]["name"] for item in found] == ["a", "b"]
    assert not any("kind" in item for item in found)
    assert len(rules.list("default", "")["items"]) == 3
    assert parse_selector("x=1,y=2") == {"x": "1", "y": "2"}
    for odd in ("x", "x!=1", "x in (1)", "=1"):
        assert refused(parse_selector, odd) == (400, "BadRequest")


def test_a_role_allows_verbs_of_a_group_and_a_resource_and_names_only_where_there_are_some():
    def role(verbs, names=(), group="coordination.k8s.io", resource="leases"):
        rule = {"apiGroups": [group], "resources": [resource], "verbs": verbs}
        return {"rules": [{**rule, "resourceNames": list(names)} if names else rule]}

    assert allowed(role(["get"]), "get", "a")
    assert not allowed(role(["get"]), "list", "")
    assert not allowed(role(["get"], group=""), "get", "a")
    assert not allowed(role(["get"], resource="pods"), "get", "a")
    assert allowed(role(["get", "create"], ["a"]), "get", "a")
    assert not allowed(role(["get"], ["a"]), "get", "b")
    assert not allowed(role(["create"], ["a"]), "create", ""), "a creation names no object in its URL"
    assert allowed(role(["*"]), "update", "a")
    assert not allowed({}, "get", "a")
