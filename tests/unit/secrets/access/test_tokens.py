# SPDX-License-Identifier: Apache-2.0
"""A token opens what it was made for, as long and as often as it was said, and nobody finds it in a file."""

from __future__ import annotations

import json
import secrets
import threading

import pytest

from holdfast._base.secret import Secret
from holdfast.errors import ConfigurationError, SecretDenied, SecretsDamaged
from holdfast.secrets.access import Tokens
from holdfast.secrets.access.tokens import REMEMBERED_MS, TTL_MAX_S


@pytest.fixture
def path(tmp_path):
    return tmp_path / "tokens.json"


@pytest.fixture
def tokens(path, clock):
    return Tokens(path, clock.wall_ms, secrets.token_bytes)


APP = frozenset({"app"})


def test_it_stands_for_somebody_and_his_roles(tokens):
    name, token = tokens.issue("shop@berlin", frozenset({"app", "reader"}))
    holder = tokens.check(token)
    assert (holder.who, holder.roles, holder.id) == ("shop@berlin", {"app", "reader"}, name)


def test_what_is_kept_opens_nothing(tokens, path, clock):
    _, token = tokens.issue("shop", APP)
    text = path.read_text()
    assert token.reveal().rpartition(".")[2] not in text
    assert "hfs." not in text
    assert path.stat().st_mode & 0o077 == 0
    kept = json.loads(text)["tokens"][0]
    with pytest.raises(SecretDenied):
        tokens.check(Secret(f"hfs.{kept['id']}.{kept['digest'][:43]}"))


def test_one_that_is_none_opens_nothing_and_is_not_said(tokens):
    name, token = tokens.issue("shop", APP)
    text = token.reveal()
    last = "A" if text[-2] != "A" else "B"
    for wrong in ("", "x", text[:-1], text + "a", text[:-2] + last + text[-1], text.upper(),
                  f"hfs.{'0' * 20}.{'A' * 43}", text.replace(name, "0" * 20), "hfs..", text + "\n", "ü" * 68):
        with pytest.raises(SecretDenied, match="no token of this store") as error:
            tokens.check(Secret(wrong))
        assert len(wrong) < 10 or wrong not in str(error.value)
    assert tokens.check(token).who == "shop"


def test_one_that_has_ended_says_so_and_opens_nothing(tokens, clock):
    name, token = tokens.issue("shop", APP, ttl_s=60)
    clock.advance(59.999)
    assert tokens.check(token)
    clock.advance(0.001)
    with pytest.raises(SecretDenied, match=f"the token {name} of shop ended at .*Z: have another one issued"):
        tokens.check(token)
    clock.advance(REMEMBERED_MS / 1000)
    tokens.issue("other", APP)
    with pytest.raises(SecretDenied, match="no token of this store"):
        tokens.check(token)


def test_one_that_was_revoked_opens_nothing_at_once_in_other_processes_too(tokens, path, clock):
    name, token = tokens.issue("shop", APP)
    other = Tokens(path, clock.wall_ms, secrets.token_bytes)
    assert other.check(token).who == "shop"
    tokens.revoke(name)
    for each in (tokens, other):
        with pytest.raises(SecretDenied, match="revoked"):
            each.check(token)
    with pytest.raises(ConfigurationError, match="there is no token"):
        tokens.revoke(name)


def test_of_a_number_of_uses_none_is_had_twice_whoever_asks(tokens, path, clock):
    _, token = tokens.issue("shop", APP, uses=5)
    both = [tokens, Tokens(path, clock.wall_ms, secrets.token_bytes)]
    got, begin = [], threading.Barrier(12)

    def use(at):
        begin.wait()
        try:
            got.append(both[at % 2].check(token).who)
        except SecretDenied as error:
            assert "as often as it may be" in str(error)  # noqa: PT017 - the others got through

    threads = [threading.Thread(target=use, args=(at,)) for at in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == ["shop"] * 5
    assert both[1].listed()[0].left == 0


def test_those_there_are_are_listed_without_what_they_are(tokens, clock):
    tokens.issue("a", APP)
    clock.advance(1)
    _, token = tokens.issue("b", APP, ttl_s=60, uses=3)
    assert [(one.who, one.left) for one in tokens.listed()] == [("a", None), ("b", 3)]
    assert token.reveal() not in repr(tokens.listed())


@pytest.mark.parametrize(("who", "roles", "more"), [
    ("", APP, {}), ("a b", APP, {}), ("ü", APP, {}), ("-a", APP, {}), ("a", frozenset(), {}), ("a", {"App"}, {}),
    ("a", APP, {"ttl_s": 0}), ("a", APP, {"ttl_s": TTL_MAX_S + 1}), ("a", APP, {"ttl_s": float("nan")}),
    ("a", APP, {"uses": 0})], ids=str)
def test_what_would_be_no_token_is_not_issued(tokens, path, who, roles, more):
    with pytest.raises(ConfigurationError):
        tokens.issue(who, frozenset(roles), **more)
    assert not path.exists()


def test_a_file_that_is_none_opens_nothing(tokens, path):
    _, token = tokens.issue("shop", APP)
    good = path.read_text()
    for text in ("", "{}", "[]", '{"version": 1, "tokens": [{}]}', "\xff"):
        path.write_text(text)
        with pytest.raises(SecretsDamaged):
            tokens.check(token)
    path.write_text(good.replace('"version": 1', '"version": 2'))
    with pytest.raises(ConfigurationError, match="version 2"):
        tokens.check(token)
    path.write_text(good)
    assert tokens.check(token)
    path.unlink()
    with pytest.raises(SecretDenied):
        tokens.check(token)
