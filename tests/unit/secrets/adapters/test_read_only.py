# SPDX-License-Identifier: Apache-2.0
"""Variables, ``.env`` files, mounted folders, the system's keyring: what only they can get wrong."""

from __future__ import annotations

import pytest

from holdfast._base.secret import Secret
from holdfast.errors import (
    ConfigurationError,
    SecretDenied,
    SecretNotFound,
    SecretsUnreachable,
    SecretUnavailable,
)
from holdfast.secrets.adapters import DotenvStore, EnvironmentStore, KeyringStore, MountedStore
from holdfast.secrets.names import VALUE_MAX


def test_a_variable_that_is_not_set_is_named(monkeypatch):
    monkeypatch.delenv("APP_DB_MAIN_PASSWORD", raising=False)
    store = EnvironmentStore("APP_")
    with pytest.raises(SecretNotFound, match="APP_DB_MAIN_PASSWORD"):
        store.get("db/main-password")
    monkeypatch.setenv("APP_DB_MAIN_PASSWORD", "hunter2")
    assert store.get("db/main-password").value.reveal() == b"hunter2"
    monkeypatch.setenv("APP_DB_MAIN_PASSWORD", "")
    with pytest.raises(SecretNotFound, match="0 bytes in the variable APP_DB_MAIN_PASSWORD"):
        store.get("db/main-password")


def test_a_changed_file_is_read_anew_and_an_unchanged_one_is_not(tmp_path, monkeypatch):
    path = tmp_path / ".env"
    path.write_text("A=one\n")
    store, parsed = DotenvStore(path), []
    original = store._parsed
    monkeypatch.setattr(store, "_parsed", lambda data: parsed.append(1) or original(data))
    assert [store.get("a").value.reveal() for _ in range(3)] == [b"one"] * 3
    path.write_text("A=the second\n")
    assert store.get("a").value.reveal() == b"the second"
    assert len(parsed) == 2


@pytest.mark.parametrize(("text", "why"), [
    (b"A=1\nwhat is this\n", "line 2"), (b"A=1\nB\n", "line 2"), (b"A='planted-4711\n", "line 1"),
    (b"\xff\xfe=1\n", "UTF-8"), (b"#" * (4 << 20) + b"\n", "no file of secrets")], ids=range(5))
def test_a_file_that_cannot_be_read_is_one_error_which_says_where(tmp_path, text, why):
    path = tmp_path / ".env"
    path.write_bytes(text)
    with pytest.raises(SecretUnavailable, match=why) as error:
        DotenvStore(path).get("a")
    assert "planted" not in str(error.value)
    assert str(path) in str(error.value)


def test_dollars_in_a_file_are_dollars(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME_OF", "planted")
    (tmp_path / ".env").write_text("A=${HOME_OF}$x\n")
    assert DotenvStore(tmp_path / ".env").get("a").value.reveal() == b"${HOME_OF}$x"


def test_a_link_out_of_the_folder_is_not_followed(tmp_path):
    (tmp_path / "outside").write_text("planted")
    folder = tmp_path / "mounted"
    folder.mkdir()
    (folder / "a").symlink_to(tmp_path / "outside")
    (folder / "up").symlink_to(tmp_path)
    (folder / "circle").symlink_to(folder)
    (folder / "good").write_text("fine")
    store = MountedStore(folder)
    for name in ("a", "up/outside"):
        with pytest.raises(SecretDenied, match="link out of"):
            store.get(name)
    assert store.names() == ("good",)


def test_a_turned_link_counts_at_the_next_read(tmp_path):
    for turn in ("one", "two"):
        (tmp_path / f"..{turn}").mkdir()
        (tmp_path / f"..{turn}" / "password").write_text(turn + "\r\n")
    (tmp_path / "..data").symlink_to("..one")
    (tmp_path / "password").symlink_to("..data/password")
    store = MountedStore(tmp_path)
    assert store.get("password").value.reveal() == b"one"
    (tmp_path / "..new").symlink_to("..two")
    (tmp_path / "..new").replace(tmp_path / "..data")
    assert store.get("password").value.reveal() == b"two"
    assert store.names() == ("password",)
    assert MountedStore(tmp_path, newline=False).get("password").value.reveal() == b"two\r\n"


def test_what_is_no_file_or_too_large_is_refused(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "large").write_bytes(b"x" * (VALUE_MAX + 9))
    (tmp_path / "empty").touch()
    store = MountedStore(tmp_path)
    for name in ("folder", "large", "empty"):
        with pytest.raises(SecretUnavailable, match=name):
            store.get(name)
    with pytest.raises(SecretUnavailable, match="cannot be listed"):
        MountedStore(tmp_path / "nothing").names()


class Broken:
    """A keyring that is locked."""

    def get_password(self, service, username):
        raise RuntimeError("planted")

    set_password = delete_password = get_password


def test_a_keyring_that_does_not_answer_is_said_to():
    store = KeyringStore(backend=Broken())
    with pytest.raises(SecretsUnreachable, match="servers mostly have none") as error:
        store.get("a")
    assert "planted" not in str(error.value)
    with pytest.raises(ConfigurationError, match="keeps text"):
        store.put("a", Secret(b"\xff"))


def test_the_systems_own_keyring_is_asked_through_the_library(monkeypatch):
    import keyring
    from keyring.backends import fail

    monkeypatch.setattr(keyring, "get_keyring", fail.Keyring)
    with pytest.raises(SecretsUnreachable, match="did not answer for a"):
        KeyringStore().get("a")
