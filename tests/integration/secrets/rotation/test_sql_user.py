# SPDX-License-Identifier: Apache-2.0
"""Two users of a real PostgreSQL that take turns."""

from __future__ import annotations

import contextlib

import msgspec
import psycopg
import pytest

from holdfast._base.clock import SystemClock
from holdfast._base.secret import Secret
from holdfast._sql.roles import Roles, verifier
from holdfast.errors import ConfigurationError, NotAuthorized, RotationFailed, ServerRefused, ServerUnreachable
from holdfast.secrets.memory import MemoryStore
from holdfast.secrets.rotation import FolderRegistry, Rotation
from holdfast.secrets.rotation.sql_user import DatabaseLogin, PostgresUsers
from tests.support.password_postgres import OLD

NAME = "db/app"
USERS = ("app_a", "app_b")


@pytest.fixture
def server(guarded):
    guarded.again()
    return guarded


@pytest.fixture
def store():
    store = MemoryStore(SystemClock().wall_ms)
    store.put(NAME, Secret(msgspec.json.encode(DatabaseLogin("app_a", OLD))))
    return store


@pytest.fixture
def rotation(server, store, tmp_path):
    rotator = PostgresUsers(server.url, USERS)
    rotation = Rotation(store, rotator, FolderRegistry(tmp_path / "r"), poll_s=0.05, wait_s=5, lease_s=1)
    yield rotation
    rotation.close(), rotator.close()


def connected(server, login):
    return psycopg.connect(host="127.0.0.1", port=server.port, dbname="postgres", user=login.username,
                           password=login.password, autocommit=True)


def enters(server, login):
    try:
        connected(server, login).close()
    except psycopg.OperationalError:
        return False
    return True


def login(store, **how):
    return DatabaseLogin.of(store.get(NAME, **how))


def test_users_take_turns_and_only_the_one_in_force_enters(server, store, rotation):
    seen = [login(store)]
    for turn in range(4):
        assert rotation.rotate(NAME).finished
        seen.append(login(store))
        assert [enters(server, one) for one in seen] == [False] * (turn + 1) + [True]
    assert [one.username for one in seen] == ["app_a", "app_b", "app_a", "app_b", "app_a"]
    assert len({one.password for one in seen}) == 5


def test_what_one_makes_the_other_may_use_and_open_sessions_go_on(server, store, rotation):
    with contextlib.closing(connected(server, login(store))) as before:
        before.execute("DROP TABLE IF EXISTS made")
        before.execute("CREATE TABLE made (n int)")
        assert rotation.rotate(NAME).finished
        before.execute("INSERT INTO made VALUES (1)")
        with contextlib.closing(connected(server, login(store))) as after:
            after.execute("INSERT INTO made VALUES (2)")
            assert after.execute("SELECT count(*) FROM made").fetchone() == (2,)
            after.execute("ALTER TABLE made ADD m int")


def test_no_password_is_in_the_servers_log(server, store, rotation):
    server.said("ALTER SYSTEM SET log_statement = 'all'", "SELECT pg_reload_conf()")
    assert rotation.rotate(NAME).finished
    server.said("ALTER SYSTEM RESET log_statement", "SELECT pg_reload_conf()")
    log = (server.folder / "log").read_text()
    assert 'ALTER ROLE "app_b" LOGIN' in log
    assert login(store).password not in log


def test_our_verifier_is_the_servers_own(server):
    salt = b"0123456789abcdef"
    server.said(f"ALTER ROLE app_a PASSWORD '{verifier('a password', salt)}'")
    assert enters(server, DatabaseLogin("app_a", "a password"))
    assert not enters(server, DatabaseLogin("app_a", "a passworD"))


def test_a_user_that_may_not_enter_fails_the_test_and_goes_back(server, store, rotation):
    server.said("ALTER ROLE app_b CONNECTION LIMIT 0")
    with pytest.raises(RotationFailed, match="what was in force still is"):
        rotation.rotate(NAME)
    assert (login(store).username, enters(server, login(store))) == ("app_a", True)
    assert server.asked("SELECT rolcanlogin FROM pg_roles WHERE rolname = 'app_b'") == [(False,)]


def test_a_user_that_is_not_there_is_named(server, store, rotation):
    server.said("DROP ROLE app_b")
    with pytest.raises(RotationFailed, match="no user app_b"):
        rotation.rotate(NAME)
    assert enters(server, login(store))


def test_a_server_that_trusts_everybody_lets_the_old_user_in_no_more_all_the_same(server, store, rotation):
    hba = (server.data / "pg_hba.conf").read_text()
    try:
        (server.data / "pg_hba.conf").write_text("host all all 127.0.0.1/32 trust\n")
        server.said("SELECT pg_reload_conf()")
        assert rotation.rotate(NAME).finished
        assert not enters(server, login(store, version=1))
    finally:
        (server.data / "pg_hba.conf").write_text(hba)
        server.said("SELECT pg_reload_conf()")


def test_a_user_that_is_let_in_again_by_hand_is_found_out(server, store, rotation, monkeypatch):
    monkeypatch.setattr(Roles, "shut_out", lambda *_: None)
    with pytest.raises(RotationFailed, match="still lets app_a in"):
        rotation.rotate(NAME)
    monkeypatch.undo()
    assert rotation.resume(NAME).finished


def test_who_may_not_alter_users_is_told(server, store):
    server.said("DROP ROLE IF EXISTS nobody", "CREATE ROLE nobody LOGIN PASSWORD 'x'")
    roles = Roles(server.url.replace("rotating", "nobody").replace("planted-admin-4711", "x"), lambda n: b"s" * n)
    with pytest.raises(NotAuthorized, match="permission denied"):
        roles.admit("app_b", "pw", NAME, 2)
    roles.close()


def test_one_that_comes_late_changes_nothing(server):
    """As from a rotator that was stopped inside a step, for two rotations."""
    roles = Roles(server.url, lambda n: b"s" * n)
    roles.admit("app_b", "two", NAME, 2)
    roles.shut_out("app_b", NAME, 2)
    roles.admit("app_b", "four", NAME, 4)
    with pytest.raises(ServerRefused, match="came late"):
        roles.admit("app_b", "two", NAME, 2)
    roles.shut_out("app_b", NAME, 2)
    assert roles.accepts("app_b", "four")
    assert not roles.accepts("app_b", "two")
    roles.shut_out("app_b", NAME, 4)
    assert not roles.accepts("app_b", "four")
    roles.close()


def test_names_of_secrets_with_quotes_and_signs(server):
    roles = Roles(server.url, lambda n: b"s" * n)
    name = "team's/100%s/\"x\""
    roles.admit("app_b", "two", name, 7)
    assert server.asked("SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = 'app_b'") == [
        (f"holdfast: version 7 of {name}",)]
    with pytest.raises(ServerRefused, match="came late"):
        roles.admit("app_b", "one", name, 6)
    roles.close()


def test_a_server_that_is_away_is_no_refusal(server):
    roles = Roles("postgresql://rotating:x@127.0.0.1:1/postgres", lambda n: b"s" * n)
    with pytest.raises(ServerUnreachable):
        roles.accepts("app_a", OLD)
    with pytest.raises(ServerUnreachable):
        roles.admit("app_a", OLD, NAME, 1)
    roles.close()


def test_what_cannot_take_turns_is_refused(server):
    with pytest.raises(ConfigurationError, match="two users"):
        PostgresUsers(server.url, ["app_a"])
    with pytest.raises(ConfigurationError, match="cannot be a user"):
        PostgresUsers(server.url, ["app_a", 'app"; DROP'])
    with pytest.raises(ConfigurationError, match="another database"):
        PostgresUsers("sqlite:///x.db", USERS)


def test_a_value_that_is_no_login_is_named_and_not_shown(store, rotation):
    store.put(NAME, Secret(b"planted-4711"))
    with pytest.raises(RotationFailed, match="no JSON object") as told:
        rotation.rotate(NAME)
    assert "planted" not in str(told.value)
    assert "planted" not in repr(DatabaseLogin("app_a", "planted"))
