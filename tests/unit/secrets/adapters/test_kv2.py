# SPDX-License-Identifier: Apache-2.0
"""Vault and OpenBao: logins that are renewed, versions that wait, what others write, leases."""

from __future__ import annotations

import pytest

from holdfast._base.secret import Secret
from holdfast.errors import (
    ConfigurationError,
    SecretDenied,
    SecretMoved,
    SecretsSealed,
    SecretsUnreachable,
    SecretUnavailable,
)
from holdfast.secrets.adapters import AppRole, Kv2Store, Token
from holdfast.secrets.adapters.kv2_leases import Leases
from holdfast.secrets.adapters.kv2_session import Session
from holdfast.testing import ManualClock
from holdfast.testing.ports import free_port
from tests.support.kv2 import Kv2, serving

ROLE = AppRole("app", Secret("planted-secret-id"))
LOGIN, RENEW = "POST auth/approle/login", "POST auth/token/renew-self"


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def there(clock):
    return Kv2(token_s=90, now=clock.now)


@pytest.fixture
def address(there):
    with serving(there) as found:
        yield found


@pytest.fixture
def opened():
    """Makes one; all are closed in the end."""
    made = []

    def make(*args, **more):
        made.append(Kv2Store(*args, **more))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def store(address, clock, opened):
    return opened(address, ROLE, clock=clock)


def test_a_login_is_renewed_when_two_thirds_of_it_are_over(store, there, clock):
    store.put("a", Secret(b"one"))
    for _ in range(5):
        store.get("a")
    assert (there.asked.count(LOGIN), there.asked.count(RENEW)) == (1, 0)
    clock.advance(59)
    store.get("a")
    assert there.asked.count(RENEW) == 0
    clock.advance(2)
    store.get("a")
    assert (there.asked.count(LOGIN), there.asked.count(RENEW)) == (1, 1)


def test_a_login_that_cannot_be_renewed_or_was_lost_is_had_anew(store, there, clock):
    there.renewable = False
    store.put("a", Secret(b"one"))
    clock.advance(61)
    store.get("a")
    assert (there.asked.count(LOGIN), there.asked.count(RENEW)) == (2, 0)
    there.tokens.clear()  # the server was started anew
    assert store.get("a").value.reveal() == b"one"
    assert there.asked.count(LOGIN) == 3


def test_a_token_that_was_given_and_is_over_is_said_to_be(address, there, opened):
    there.tokens["given"] = None
    store = opened(address, Token(Secret("given")))
    store.put("a", Secret(b"one"))
    del there.tokens["given"]
    with pytest.raises(SecretDenied, match="a"):
        store.get("a")


def test_a_wrong_login_a_denied_path_and_a_sealed_server_are_told_apart(address, store, there, clock, opened):
    with pytest.raises(SecretUnavailable, match="login for a") as error:
        opened(address, AppRole("app", Secret("planted-wrong")), clock=clock).get("a")
    assert "planted" not in str(error.value)
    there.denied.add("team")
    with pytest.raises(SecretDenied, match="team/a"):
        store.get("team/a")
    there.sealed = True
    with pytest.raises(SecretsSealed, match="a"):
        store.get("a")


def test_a_server_that_is_not_there_may_have_done_nothing(opened):
    store = opened(f"http://127.0.0.1:{free_port()}", Token(Secret("x")), timeout_s=1)
    with pytest.raises(SecretsUnreachable) as error:
        store.put("a", Secret(b"one"))
    assert "may be done" not in str(error.value)
    with pytest.raises(ConfigurationError, match="no address"):
        Kv2Store("vault:8200", Token(Secret("x")))
    with pytest.raises(ConfigurationError, match="authorities"):
        Kv2Store("https://vault:8200", Token(Secret("x")), ca="/nowhere/ca.pem")


def others(there, name, value):
    """Another program writes."""
    there._data_post(name, {"data": {"value": value}}, {})


def test_what_others_write_is_in_force_at_once(store, there):
    others(there, "a", "theirs")
    assert store.get("a").value.reveal() == b"theirs"
    store.put("a", Secret(b"ours"))
    others(there, "a", "theirs again")
    found = store.get("a")
    assert (found.value.reveal(), found.version.number) == (b"theirs again", 3)


def test_a_version_that_waits_is_in_force_at_no_moment(store, there):
    """Whoever reads between any two requests of ``put`` sees the one before."""
    store.put("a", Secret(b"one"))
    seen, answer = [], there.answer

    def looked(verb, target, *more):
        try:
            return answer(verb, target, *more)
        finally:
            if verb != "GET":
                seen.append(store.get("a").value.reveal())

    there.answer = looked
    store.put("a", Secret(b"two"), label="pending")
    there.answer = answer
    assert len(seen) >= 2
    assert set(seen) == {b"one"}
    store.label("a", "pending", None)  # rolled back: it stays held
    assert store.get("a").value.reveal() == b"one"
    store.put("a", Secret(b"three"))
    assert store.get("a").version.number == 3
    store.label("a", "current", 1)
    assert store.get("a").value.reveal() == b"one"
    others(there, "a", "theirs")
    assert store.get("a").value.reveal() == b"theirs"


def test_an_expected_version_is_compared_by_the_server(store, there):
    store.put("a", Secret(b"one"))
    original = store._meta

    def slow(name):
        found = original(name)
        others(there, name, "theirs")
        return found

    store._meta = slow
    with pytest.raises(SecretMoved, match="a"):
        store.put("a", Secret(b"ours"), expect=1)
    assert store.get("a").value.reveal() == b"theirs"


@pytest.mark.parametrize("data", [{}, {"value": 7}, {"value_base64": "planted!"}, {"other": "planted"}], ids=range(4))
def test_a_map_without_the_field_is_one_error(store, there, data):
    there._data_post("a", {"data": data}, {})
    with pytest.raises(SecretUnavailable, match="a") as error:
        store.get("a")
    assert "planted" not in str(error.value)


def test_credentials_are_taken_for_a_while_renewed_and_given_back(address, store, there, clock):
    session = Session(address, ROLE, clock=clock)
    leases = Leases(session, clock)
    began = clock.now()
    with leases.taken("database/creds/app") as lease:
        assert lease.values["password"].reveal().startswith("planted-")
        assert "planted" not in repr(lease)
        assert (lease.renew_at - began, lease.ends_at - began) == (pytest.approx(40), pytest.approx(60))
        clock.advance(41)
        longer = leases.renewed(lease)
        assert longer.ends_at - began == pytest.approx(101)
        assert there.leases
    assert not there.leases
    with pytest.raises(SecretUnavailable, match="database/creds/app"):
        leases.renewed(lease)
    store.put("x", Secret(b"1"))
    with pytest.raises(SecretUnavailable, match="no lease"):
        leases.take("secret/data/x")
    session.close()
