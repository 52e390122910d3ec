# SPDX-License-Identifier: Apache-2.0
"""A member is whom an issuer vouches for, at this time, under this key, with these roles."""

from __future__ import annotations

import msgspec
import pytest

from holdfast.errors import ConfigurationError, NotTrusted
from holdfast.gossip.trust.admission import Anchor, Certificate, Credential, Vouched, issue
from holdfast.gossip.trust.epochs import Activation
from holdfast.gossip.trust.identity import Identity
from holdfast.gossip.trust.revocations import Revocations, revoke
from tests.unit.gossip.trust.people import CLUSTER, DAY, NOW, Town


@pytest.fixture
def town():
    return Town()


def refused(why, call, *args, **more):
    with pytest.raises(NotTrusted) as found:
        call(*args, **more)
    assert found.value.why == why, found.value


def test_whom_an_issuer_vouches_for_is_a_member(town):
    identity, credential = town.citizen("one", "rotate")
    member = town.anchor.member(credential, NOW)
    assert (member.id, member.name, member.certificate.roles, member.admitted_by) == (identity.id, "one", ("rotate",),
                                                                                      "")


def test_whom_somebody_else_vouches_for_is_none(town):
    other = Town(seed=2)
    refused("issuer", town.anchor.member, other.citizen()[1], NOW)
    identity = Identity.generate(town.entropy)
    refused("issuer", town.anchor.member, town.certify(identity, by=identity), NOW)


def test_a_certificate_of_another_cluster_is_none(town):
    there = Town(cluster=b"there")
    assert there.issuer.signing == town.issuer.signing
    refused("signature", town.anchor.member, there.citizen()[1], NOW)


def test_a_certificate_counts_for_its_time_give_or_take_what_clocks_differ(town):
    credential = town.citizen(days=1)[1]
    for when in (NOW - 59_000, NOW, NOW + DAY + 59_000):
        town.anchor.member(credential, when)
    for when in (NOW - 61_000, NOW + DAY + 60_000):
        refused("period", town.anchor.member, credential, when)


def test_the_id_has_to_be_that_of_the_key(town):
    one, other = Identity.generate(town.entropy), Identity.generate(town.entropy)
    with_other = Certificate("one", other.id, one.signing, one.sealing, bytes(16), NOW, NOW + DAY, (), 0)
    refused("identity", town.anchor.member, Credential(town.issuer.sign(CLUSTER, with_other), None), NOW)


@pytest.mark.parametrize(("field", "value"), [
    ("name", ""), ("name", "n" * 129), ("serial", b"short"), ("sealing", b"short"), ("roles", ("king",)),
    ("not_after_ms", NOW), ("from_epoch", -1)])
def test_a_certificate_that_is_not_sound_is_not_given_and_not_taken(town, field, value):
    identity = Identity.generate(town.entropy)
    good = {"name": "one", "serial": bytes(16), "not_before_ms": NOW, "not_after_ms": NOW + DAY, "roles": (),
            "from_epoch": 0, "sealing": identity.sealing, "signing": identity.signing}
    with pytest.raises(ConfigurationError):
        issue(town.issuer, CLUSTER, **{**good, field: value})
    bad = Certificate(**{**good, "id": identity.id, field: value})
    with pytest.raises(NotTrusted):
        town.anchor.member(Credential(town.issuer.sign(CLUSTER, bad), None), NOW)


def test_who_may_admit_admits_and_gives_no_roles(town):
    door, above = town.citizen("door", "admit")
    plain = town.citizen("in", by=door, above=above.certificate)[1]
    assert town.anchor.member(plain, NOW).admitted_by == door.id
    raised = town.citizen("in", "rotate", by=door, above=above.certificate)[1]
    refused("role", town.anchor.member, raised, NOW)


def test_who_may_not_admit_admits_nobody(town):
    door, above = town.citizen("door", "rotate", "revoke")
    refused("issuer", town.anchor.member, town.citizen("in", by=door, above=above.certificate)[1], NOW)
    refused("issuer", town.anchor.member, town.citizen("in", by=door)[1], NOW)


def test_who_may_admit_has_it_from_an_issuer(town):
    stranger = Identity.generate(town.entropy)
    door = Identity.generate(town.entropy)
    above = town.certify(door, "door", "admit", by=stranger)
    refused("issuer", town.anchor.member, town.citizen("in", by=door, above=above.certificate)[1], NOW)


def test_an_admitted_member_admits_nobody(town):
    door, above = town.citizen("door", "admit")
    second, second_credential = town.citizen("second", by=door, above=above.certificate)
    refused("issuer", town.anchor.member,
            town.citizen("third", by=second, above=second_credential.certificate)[1], NOW)


def test_with_who_admits_go_those_who_were_let_in(town):
    door, above = town.citizen("door", "admit", days=2)
    credential = town.citizen("in", by=door, above=above.certificate, days=300)[1]
    refused("period", town.anchor.member, credential, NOW + 10 * DAY)
    out = Revocations(town.anchor, [revoke(town.issuer, None, CLUSTER, node=door.id, reason="leaked", at_ms=NOW)])
    refused("revoked", town.anchor.member, credential, NOW, out)


def test_a_member_is_revoked_by_id_or_by_serial(town):
    identity, credential = town.citizen()
    renewed = town.certify(identity)
    serial = town.anchor.member(credential, NOW).certificate.serial
    by_serial = Revocations(town.anchor, [revoke(town.issuer, None, CLUSTER, serial=serial, reason="", at_ms=NOW)])
    refused("revoked", town.anchor.member, credential, NOW, by_serial)
    town.anchor.member(renewed, NOW, by_serial)
    by_id = Revocations(town.anchor, [revoke(town.issuer, None, CLUSTER, node=identity.id, reason="", at_ms=NOW)])
    refused("revoked", town.anchor.member, renewed, NOW, by_id)


def test_a_key_that_travels_along_proves_nothing(town):
    thief, _ = town.citizen("thief")
    _, credential = town.citizen("one", "rotate")
    said = thief.sign(CLUSTER, Activation(bytes(32), NOW))
    refused("identity", town.anchor.said, Vouched(said, credential), Activation, NOW, role="rotate")
    refused("issuer", town.anchor.said, Vouched(said, None), Activation, NOW, role="rotate")


def test_a_role_is_needed_where_one_is_asked_for(town):
    identity, credential = town.citizen("one", "admit", "revoke")
    vouched = Vouched(identity.sign(CLUSTER, Activation(bytes(32), NOW)), credential)
    refused("role", town.anchor.said, vouched, Activation, NOW, role="rotate")
    assert town.anchor.said(vouched, Activation, NOW)[1].id == identity.id


def test_an_issuer_may_say_all(town):
    vouched = Vouched(town.issuer.sign(CLUSTER, Activation(bytes(32), NOW)), None)
    assert town.anchor.said(vouched, Activation, NOW, role="rotate") == (Activation(bytes(32), NOW), None)


def test_what_was_checked_before_is_checked_by_its_signature_too(town):
    _, credential = town.citizen()
    town.anchor.member(credential, NOW)
    signed = credential.certificate
    forged = msgspec.structs.replace(signed, signature=bytes(64))
    refused("signature", town.anchor.member, Credential(forged, None), NOW)


def test_a_cluster_has_a_label_and_an_issuer():
    for cluster, issuers in ((b"", [bytes(32)]), (b"x" * 256, [bytes(32)]), (b"x", []), (b"x", [b"short"])):
        with pytest.raises(ConfigurationError):
            Anchor(cluster, issuers)
