# SPDX-License-Identifier: Apache-2.0
"""Leases: they last as long as was said, and what is due stays due until it was ended."""

from __future__ import annotations

import pytest

from holdfast._base.secret import Secret
from holdfast.errors import ConfigurationError, SecretNotFound, SecretRefused
from holdfast.secrets.vault import Leases
from tests.unit.secrets.vault.kit import ManualClock, new, reopened


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def vault(tmp_path, clock):
    with new(tmp_path, clock=clock) as made:
        for name in ("db/a", "db/b", "web"):
            made.put(name, Secret(b"value"))
        yield made


def ids(leases):
    return [lease.id for lease in leases]


def test_a_lease_runs_out_and_is_due_until_it_was_ended(vault, clock):
    leases = Leases(vault, ttl_s=10)
    lease = leases.grant("db/a", "worker 1")
    assert (lease.until - lease.made, lease.version, lease.who) == (10_000, 1, "worker 1")
    assert lease.made < lease.renew_at < lease.until
    clock.advance(9.9)
    assert leases.due() == ()
    clock.advance(0.2)
    assert leases.due() == (lease,) == leases.due()
    leases.end(lease.id)
    leases.end(lease.id)
    assert leases.due() == leases.all() == ()


def test_it_is_renewed_up_to_its_most_and_no_further(vault, clock):
    leases = Leases(vault, ttl_s=10, max_ttl_s=25)
    lease = leases.grant("web", "me")
    for _ in range(3):
        clock.advance(7)
        renewed = leases.renew(lease.id)
        assert renewed.until <= lease.made + 25_000
    assert renewed.until == lease.made + 25_000
    assert leases.renew(lease.id, ttl_s=3600).until == lease.made + 25_000
    clock.advance(5)
    with pytest.raises(SecretRefused, match="run out"):
        leases.renew(lease.id)


def test_what_was_revoked_is_due_at_once_and_is_not_renewed(vault):
    leases = Leases(vault)
    one, two, three = (leases.grant(name, "me") for name in ("db/a", "db/b", "web"))
    leases.revoke(three.id)
    assert ids(leases.due()) == [three.id]
    assert sorted(ids(leases.revoke_below("db"))) == sorted([one.id, two.id])
    assert leases.revoke_below("db") == ()
    assert len(leases.due()) == 3
    with pytest.raises(SecretRefused):
        leases.renew(one.id)


def test_they_outlive_the_process_a_compaction_and_a_new_epoch(vault, tmp_path, clock):
    leases = Leases(vault)
    kept = (leases.grant("db/a", "me"), leases.grant("db/b", "you"))
    leases.end(leases.grant("web", "me").id)
    vault.compact()
    vault.rekey()
    with reopened(tmp_path, clock=clock) as other:
        assert set(Leases(other).all()) == set(kept)
        assert Leases(other).all("db/a") == kept[:1]
        Leases(other).revoke(kept[0].id)
    assert ids(leases.due()) == [kept[0].id]


@pytest.mark.parametrize("wrong", [{"ttl_s": 0}, {"ttl_s": -1}, {"max_ttl_s": 1e12}, {"ttl_s": float("nan")}], ids=str)
def test_times_that_cannot_be_are_refused(vault, wrong):
    with pytest.raises(ConfigurationError, match="ten years"):
        Leases(vault).grant("web", "me", **wrong)
    assert Leases(vault).all() == ()


def test_what_there_is_none_of_is_said(vault):
    leases = Leases(vault)
    with pytest.raises(SecretNotFound, match="there is no secret"):
        leases.grant("none", "me")
    for call in (leases.renew, leases.revoke):
        with pytest.raises(SecretNotFound, match="there is no lease"):
            call("none")
    for who in ("", "w" * 300):
        with pytest.raises(ConfigurationError, match="who"):
            leases.grant("web", who)


def test_a_thousand_leases_are_revoked_in_one_step(vault):
    leases = Leases(vault)
    for _ in range(1000):
        leases.grant("db/a", "me")
    before = vault.generation
    assert len(leases.revoke_below("db/a")) == 1000
    assert vault.generation == before + 1


def test_too_many_to_be_revoked_in_one_step_are_refused_and_none_is(vault, monkeypatch):
    leases = Leases(vault)
    for _ in range(3):
        leases.grant("db/a", "me")
    monkeypatch.setattr("holdfast.secrets.vault.leases.REVOKED_MAX", 2)
    with pytest.raises(SecretRefused, match="longer path"):
        leases.revoke_below("")
    assert leases.due() == ()
    monkeypatch.setattr("holdfast.secrets.vault.leases.LEASES_MAX", 3)
    with pytest.raises(SecretRefused, match="end what is due"):
        leases.grant("db/a", "me")
