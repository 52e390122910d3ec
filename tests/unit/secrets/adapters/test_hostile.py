# SPDX-License-Identifier: Apache-2.0
"""Files that are swapped while they are read, pipes, loops, and services that say no for ever."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from holdfast._base.secret import Secret
from holdfast.errors import SecretDenied, SecretMoved, SecretNotFound, SecretsUnreachable, SecretUnavailable
from holdfast.secrets.adapters import AppRole, AwsStore, DotenvStore, Kv2Store, MountedStore, Token
from tests.support.kv2 import Kv2, Refused, serving


def turned(folder: Path, to: str) -> None:
    (folder / f"..{to}").mkdir()
    (folder / f"..{to}" / "password").write_text(to)
    (folder / "..new").symlink_to(f"..{to}")
    (folder / "..new").replace(folder / "..data")


def test_a_folder_that_is_turned_while_a_secret_is_read_gives_the_new_one(tmp_path, monkeypatch):
    """The platform takes the old folder away as soon as the link leads to the new one."""
    turned(tmp_path, "one")
    (tmp_path / "password").symlink_to("..data/password")
    original, left = Path.resolve, [1]

    def resolve(path, strict=False):
        found = original(path, strict=strict)
        if path.name == "password" and left:
            left.clear()
            turned(tmp_path, "two")
            shutil.rmtree(tmp_path / "..one")
        return found

    monkeypatch.setattr(Path, "resolve", resolve)
    assert MountedStore(tmp_path).get("password").value.reveal() == b"two"
    assert not left


def test_what_is_the_platforms_has_no_second_name(tmp_path):
    """A policy that denies ``password`` would not know it as ``..data/password``."""
    turned(tmp_path, "one")
    (tmp_path / "password").symlink_to("..data/password")
    (tmp_path / "..file").write_text("x")
    store = MountedStore(tmp_path)
    for name in ("..data/password", "..one/password", "..file"):
        with pytest.raises(SecretNotFound, match="two dots"):
            store.get(name)
    assert store.names() == ("password",)


def test_nobody_waits_at_a_pipe_and_a_loop_is_an_error(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    store = MountedStore(tmp_path)
    with pytest.raises(SecretNotFound, match="is no file"):
        store.get("pipe")
    with pytest.raises(SecretUnavailable, match="loop"):
        store.get("loop")
    assert store.names() == ()


def test_a_file_that_is_replaced_while_it_is_read_is_read_again(tmp_path, monkeypatch):
    path, other = tmp_path / ".env", tmp_path / "other"
    path.write_text("A=old\n")
    other.write_text("A=new\n")
    original = Path.open

    def opened(self, *args, **more):
        file = original(self, *args, **more)
        if self == path and other.exists():
            other.replace(path)
        return file

    monkeypatch.setattr(Path, "open", opened)
    store = DotenvStore(path)
    assert store.get("a").value.reveal() == b"old"
    assert store.get("a").value.reveal() == b"new"


def test_a_mark_of_the_byte_order_is_no_part_of_the_first_name(tmp_path):
    (tmp_path / ".env").write_bytes(b"\xef\xbb\xbfA=one\r\nB=two\r\n")
    store = DotenvStore(tmp_path / ".env")
    assert [store.get(name).value.reveal() for name in ("a", "b")] == [b"one", b"two"]


class Refusing:
    """A client whose service refuses each write with the same words."""

    def __init__(self) -> None:
        self.writes = 0

    def describe_secret(self, **_):
        return {"VersionIdsToStages": {}}

    def list_secret_version_ids(self, **_):
        return {"Versions": [{"VersionId": f"holdfast-version-{1:015d}"}]}

    def put_secret_value(self, **_):
        self.writes += 1
        assert self.writes < 100, "it asks for ever"
        raise ClientError({"Error": {"Code": "InvalidParameterException"}}, "PutSecretValue")

    def list_secrets(self, **_):
        return {"SecretList": [{"Name": name} for name in ("a//b", "good", "with a blank")]}


def test_a_write_that_is_refused_each_time_ends():
    client = Refusing()
    with pytest.raises(SecretMoved):
        AwsStore(client).put("a", Secret(b"value"))
    assert 1 < client.writes < 20


def test_what_others_called_as_no_secret_is_called_here_is_passed_over():
    assert AwsStore(Refusing()).names() == ("good",)


@pytest.fixture
def kv2():
    there = Kv2()
    with serving(there) as address:
        store = Kv2Store(address, Token(Secret("root")))
        yield there, store
        store.close()


def test_names_are_listed_below_their_path_only_and_others_do_no_harm(kv2):
    there, store = kv2
    for name in ("team/a", "team/b/c", "team", "other/d"):
        store.put(name, Secret(b"value"))
    there.kept["team/with a blank"] = there.kept["other/d"]
    there.asked.clear()
    there.denied.add("other")
    assert store.names("team") == ("team", "team/a", "team/b/c")
    assert store.names("team/b") == ("team/b/c",)
    assert store.names("nobody") == ()
    assert not [one for one in there.asked if "other" in one]


def test_a_version_that_is_to_end_some_day_is_there_until_then(kv2):
    """``delete_version_after`` of the engine: the time of its deletion is known from the first."""
    there, store = kv2
    store.put("a", Secret(b"value"))
    there.kept["a"]["versions"][1]["deletion_time"] = "2999-01-01T00:00:00.000000000Z"
    assert store.history("a")[0].state.value == "live"
    assert store.names() == ("a",)
    store.delete("a")
    assert store.history("a")[0].state.value == "deleted"


@pytest.mark.parametrize("code", [301, 307])
def test_an_answer_that_sends_on_is_none(kv2, code):
    """A standby that does not pass on: taken for a 200, a write would be reported that nobody did."""
    there, store = kv2
    store.put("a", Secret(b"value"))

    def sent_on(*_):
        raise Refused(code)

    there.answer = sent_on
    for call in (lambda: store.get("a"), lambda: store.put("a", Secret(b"new")), lambda: store.delete("a")):
        with pytest.raises(SecretsUnreachable, match="another address"):
            call()


def test_what_is_denied_makes_no_new_token_each_time():
    """Whoever asks once a second for what he may not have would fill the server with tokens."""
    there = Kv2()
    with serving(there) as address:
        store = Kv2Store(address, AppRole("app", Secret("planted-secret-id")))
        there.denied.add("team")
        for _ in range(5):
            with pytest.raises(SecretDenied):
                store.get("team/a")
        assert there.asked.count("POST auth/approle/login") == 1
        store.close()
