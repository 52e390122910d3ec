# SPDX-License-Identifier: Apache-2.0
"""A vault as its users see it: the answers of the plainest store, and what is its own."""

from __future__ import annotations

import errno
import fcntl
import os
import sys
import threading
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast._base.secret import Secret
from holdfast.errors import (
    ConfigurationError,
    HoldfastError,
    MissingExtra,
    SecretMoved,
    SecretNotFound,
    SecretRefused,
    SecretsSealed,
)
from holdfast.secrets import SecretStore, State
from holdfast.secrets.memory import MemoryStore
from holdfast.secrets.vault import KeyFile, OsKeyring, Passphrase, Shares, Vault
from holdfast.secrets.vault.state import Item
from tests.unit.secrets.vault.kit import OTHER, PHRASE, ManualClock, new, pin_of, reopened, value

NAMES, LABELS = st.sampled_from(["a", "a/b", "ü"]), st.sampled_from(["current", "pending", "canary"])
MAYBE = st.none() | st.integers(0, 4)
CALLS = st.one_of(
    st.tuples(st.just("put"), NAMES, st.fixed_dictionaries(
        {"value": st.binary(min_size=1, max_size=90), "label": LABELS, "expect": MAYBE})),
    st.tuples(st.just("label"), NAMES, st.fixed_dictionaries({"label": LABELS, "version": MAYBE, "expect": MAYBE})),
    st.tuples(st.sampled_from(["delete", "undelete", "destroy", "get"]), NAMES,
              st.fixed_dictionaries({"version": MAYBE})),
    st.tuples(st.just("get"), NAMES, st.fixed_dictionaries({"label": LABELS})),
    st.tuples(st.sampled_from(["history", "names"]), NAMES, st.just({})),
    st.tuples(st.sampled_from(["reopen", "compact", "rekey", "rekey-values", "seal"]), st.just(""), st.just({})))


def asked(store, call, name, how):
    """What a store answers, as something to compare: what it raises is an answer too."""
    how = dict(how)
    if "value" in how:
        how["value"] = Secret(how["value"])
    try:
        found = getattr(store, call)(name, **how)
    except HoldfastError as error:
        return type(error), str(error)
    return (found.name, found.version, found.value.reveal()) if call == "get" else found


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(CALLS, max_size=25))
def test_any_calls_are_answered_as_by_the_store_in_memory(tmp_path_factory, calls):
    folder, clock = tmp_path_factory.mktemp("vault"), ManualClock()
    model, vault = MemoryStore(clock.wall_ms), new(folder, clock=clock)
    for call, name, how in calls:
        clock.advance(1)
        match call:
            case "reopen":
                vault.close()
                vault = reopened(folder, clock=clock)
            case "seal":
                vault.seal()
                vault.unseal(PHRASE)
            case "compact":
                vault.compact()
            case "rekey" | "rekey-values":
                vault.rekey(values=call == "rekey-values")
            case _:
                assert asked(vault, call, name, how) == asked(model, call, name, how)
    vault.close()
    with reopened(folder, clock=clock) as vault:
        vault.verify()
        assert vault.names() == model.names()
        for name in ("a", "a/b", "ü"):
            for number in range(5):
                assert asked(vault, "get", name, {"version": number}) == asked(model, "get", name, {"version": number})
            assert asked(vault, "history", name, {}) == asked(model, "history", name, {})


def test_it_is_a_store(tmp_path):
    with new(tmp_path) as vault:
        assert isinstance(vault, SecretStore)
        assert vault.file.path.stat().st_mode & 0o777 == 0o600


def test_nothing_is_made_over_what_is_there(tmp_path):
    (tmp_path / "vault").write_text("somebody's")
    with pytest.raises(ConfigurationError, match="already"):
        new(tmp_path)
    assert (tmp_path / "vault").read_text() == "somebody's"


@pytest.mark.parametrize("name", ["../up", "/etc/passwd", "a/../b", "a//b", "", "a\0b", "e\u0301", "a" * 513,
                                  "a b"], ids=ascii)
def test_a_bad_name_is_one_clear_error_and_nothing_is_written(tmp_path, name):
    with new(tmp_path) as vault:
        before = vault.file.path.read_bytes()
        with pytest.raises(ConfigurationError, match="cannot be a secret's name"):
            vault.put(name, Secret(b"planted"))
        assert vault.file.path.read_bytes() == before


def test_names_of_all_languages(tmp_path):
    with new(tmp_path) as vault:
        vault.put("übung/秘密/🔑", Secret(b"x"))
        vault.put("/".join(["n" * 127] * 4), Secret(b"y"))
    assert reopened(tmp_path).names() == ("/".join(["n" * 127] * 4), "übung/秘密/🔑")


def test_the_largest_value_and_ten_megabytes(tmp_path):
    with new(tmp_path) as vault:
        large = os.urandom(1 << 20)
        vault.put("large", Secret(large))
        with pytest.raises(ConfigurationError, match="10,000,000"):
            vault.put("large", Secret(b"x" * 10_000_000))
        with pytest.raises(ConfigurationError):
            vault.put("large", Secret(b""))
        assert value(vault, "large") == large
    assert value(reopened(tmp_path), "large") == large


def test_a_sealed_vault_answers_nothing_until_it_is_unsealed(tmp_path):
    with new(tmp_path) as vault:
        vault.put("a", Secret(b"one"))
        root = vault.file.loaded.root
        vault.seal()
        assert vault.sealed
        assert root == bytes(32)
        for call in (vault.names, vault.verify, vault.compact, lambda: vault.get("a"), lambda: vault.seals,
                     lambda: vault.put("a", Secret(b"two")), lambda: vault.backup(tmp_path / "b")):
            with pytest.raises(SecretsSealed, match="unseal"):
                call()
        with pytest.raises(SecretsSealed):
            vault.unseal(OTHER)
        assert vault.sealed
        vault.unseal(PHRASE)
        assert value(vault, "a") == b"one"


class Ring:
    """An OS's keyring that keeps what it is given."""

    def __init__(self):
        self.kept = {}

    def get_password(self, service, username):
        return self.kept.get((service, username))

    def set_password(self, service, username, password):
        self.kept[service, username] = password


class Broken:
    def get_password(self, service, username):
        raise RuntimeError("planted: no backend")

    set_password = get_password


def test_each_kind_of_seal_opens_it_and_each_can_be_taken_away(tmp_path):
    (tmp_path / "key").write_bytes(os.urandom(32))
    ring, shared = Ring(), Secret(os.urandom(32))
    kinds = [PHRASE, KeyFile(tmp_path / "key"), OsKeyring("vault", os.urandom, ring), Shares(lambda: shared)]
    with new(tmp_path) as vault:
        vault.put("a", Secret(b"one"))
        for seal in kinds[1:]:
            vault.add_seal(seal)
        assert [seal.kind for seal in vault.seals] == ["passphrase", "key-file", "keyring", "shares"]
    for seal in kinds:
        with reopened(tmp_path, seal=seal) as vault:
            assert value(vault, "a") == b"one"
    with reopened(tmp_path) as vault:
        for info, seal in zip(vault.seals[:-1], kinds, strict=False):
            vault.remove_seal(info.id)
            with pytest.raises(SecretsSealed):
                reopened(tmp_path, seal=seal)
        with pytest.raises(SecretRefused, match="last seal"):
            vault.remove_seal(vault.seals[0].id)
        with pytest.raises(SecretRefused, match="no seal"):
            vault.remove_seal("none")
    assert value(reopened(tmp_path, seal=kinds[-1]), "a") == b"one"


def test_a_passphrase_is_the_same_however_its_letters_were_composed(tmp_path):
    with new(tmp_path, seal=Passphrase(Secret("n\u00e4he"), n=2)) as vault:
        vault.put("a", Secret(b"one"))
    with reopened(tmp_path, seal=Passphrase(Secret("na\u0308he"), n=2)) as vault:
        assert value(vault, "a") == b"one"
    with pytest.raises(SecretsSealed):
        reopened(tmp_path, seal=Passphrase(Secret("nahe"), n=2))


def test_a_keyring_that_cannot_be_asked_says_so_and_quotes_nothing(tmp_path):
    with pytest.raises(SecretsSealed, match="key file") as caught:
        new(tmp_path, seal=OsKeyring("vault", os.urandom, Broken()))
    assert "planted" not in str(caught.value)
    ring = Ring()
    new(tmp_path, seal=OsKeyring("vault", os.urandom, ring)).close()
    for kept in ({}, {("holdfast vault", "vault"): "not base64!"}, {("holdfast vault", "vault"): "QQ=="}):
        ring.kept = kept
        with pytest.raises(SecretsSealed):
            reopened(tmp_path, seal=OsKeyring("vault", os.urandom, ring))


def test_a_new_epoch_wraps_all_keys_anew_and_changes_no_value(tmp_path):
    with new(tmp_path) as vault:
        vault.put("a", Secret(b"one"))
        vault.put("a", Secret(b"two"))

        def kept():
            items = vault.file.loaded.holding.secrets["a"].items.values()
            return [(item.key, vault.file.blob(item)) for item in items]

        before = kept()
        vault.rekey()
        wrapped = kept()
        assert vault.epoch == 2
        assert all(new[0] != old[0] and new[1] == old[1] for new, old in zip(wrapped, before, strict=True))
        vault.rekey(values=True)
        assert vault.epoch == 3
        assert all(new[0] != old[0] and new[1] != old[1] for new, old in zip(kept(), wrapped, strict=True))
        assert [value(vault, "a", version=number) for number in (1, 2)] == [b"one", b"two"]


def test_a_new_root_key_is_opened_by_the_new_seals_only(tmp_path):
    with new(tmp_path) as vault, reopened(tmp_path) as other:
        vault.put("a", Secret(b"one"))
        vault.rekey(seals=(OTHER,))
        assert value(vault, "a") == b"one"
        with pytest.raises(HoldfastError, match="open it anew"):
            other.get("a")
    with pytest.raises(SecretsSealed):
        reopened(tmp_path)
    assert value(reopened(tmp_path, seal=OTHER), "a") == b"one"


def test_what_was_destroyed_is_not_in_the_file(tmp_path):
    with new(tmp_path) as vault:
        vault.put("a", Secret(b"one"))
        vault.put("a", Secret(b"two"))
        item = vault.file.loaded.holding.secrets["a"].items[1]
        key, blob = item.key, vault.file.blob(item)
        assert blob in vault.file.path.read_bytes()
        vault.destroy("a", version=1)
        raw = vault.file.path.read_bytes()
        assert blob not in raw
        assert key not in raw
        assert [version.state for version in vault.history("a")] == [State.LIVE, State.DESTROYED]
        with pytest.raises(SecretNotFound, match="destroyed"):
            vault.get("a", version=1)
        vault.destroy("a")
        assert vault.names() == ()
        assert vault.put("a", Secret(b"three")).number == 3


def test_compaction_leaves_out_what_was_on_the_way(tmp_path):
    with new(tmp_path) as vault:
        vault.put("a", Secret(b"one"))
        for _ in range(50):
            vault.delete("a")
            vault.undelete("a")
        size, generation = vault.file.path.stat().st_size, vault.generation
        vault.compact()
        assert vault.file.path.stat().st_size < size / 10
        assert vault.generation > generation
        assert vault.verify().records == 2




@pytest.mark.parametrize("call", ["put", "label", "delete", "rekey", "compact", "destroy", "add_seal"])
@pytest.mark.parametrize("fails", ["write", "sync"])
def test_a_full_disk_leaves_the_old_state(tmp_path, monkeypatch, call, fails):
    with new(tmp_path) as vault:
        vault.put("a", Secret(b"old"))
        vault.put("a", Secret(b"pending"), label="pending")
        before = vault.file.path.read_bytes()
        calls = {"put": lambda: vault.put("a", Secret(b"new")), "label": lambda: vault.label("a", "current", 2),
                 "delete": lambda: vault.delete("a"), "rekey": vault.rekey, "compact": vault.compact,
                 "destroy": lambda: vault.destroy("a"), "add_seal": lambda: vault.add_seal(OTHER)}
        with monkeypatch.context() as patch:
            def no_room(*_):
                raise OSError(errno.ENOSPC, "No space left on device")

            patch.setattr(os, "fsync" if fails == "sync" else "pwrite", no_room)
            if fails == "write":
                patch.setattr("holdfast._base.durable.os.fdopen", no_room)
            with pytest.raises(SecretRefused, match="No space left on device"):
                calls[call]()
        assert vault.file.path.read_bytes() == before
        assert value(vault, "a") == b"old"
        assert value(reopened(tmp_path), "a") == b"old"
        calls[call]()  # and there is room again
        vault.verify()


def test_a_half_written_record_of_a_full_disk_is_cut_off(tmp_path, monkeypatch):
    with new(tmp_path) as vault:
        vault.put("a", Secret(b"old"))
        wrote, real = [], os.pwrite

        def half(descriptor, data, offset):
            if wrote:
                raise OSError(errno.ENOSPC, "No space left on device")
            wrote.append(real(descriptor, bytes(data)[:20], offset))
            return wrote[0]

        before = vault.file.path.read_bytes()
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", half)
            with pytest.raises(SecretRefused):
                vault.put("a", Secret(b"new"))
        assert wrote
        assert vault.file.path.read_bytes() == before


def test_a_pin_that_cannot_be_written_leaves_the_old_state(tmp_path):
    class Full(type(pin_of(tmp_path))):
        full = False

        def write(self, store, head, *, adopt=False):
            if self.full:
                raise OSError(errno.EDQUOT, "Disk quota exceeded")
            super().write(store, head, adopt=adopt)

    pin = Full(tmp_path / "pins")
    with new(tmp_path, pin=pin) as vault:
        vault.put("a", Secret(b"old"))
        before = vault.file.path.read_bytes()
        pin.full = True
        with pytest.raises(SecretRefused, match="quota"):
            vault.put("a", Secret(b"new"))
        assert vault.file.path.read_bytes() == before
        assert value(vault, "a") == b"old"
        pin.full = False
        vault.put("a", Secret(b"new"))
    assert value(reopened(tmp_path), "a") == b"new"


def test_what_was_left_beside_it_by_who_was_killed_does_no_harm(tmp_path):
    with new(tmp_path) as vault:
        vault.put("a", Secret(b"one"))
        (tmp_path / ".vault.new").write_bytes(vault.file.path.read_bytes()[:100])
        vault.compact()
        assert value(vault, "a") == b"one"
    assert not (tmp_path / ".vault.new").exists()


def test_what_could_not_be_read_again_is_not_written(tmp_path):
    """One record of all the versions that are deleted."""
    with new(tmp_path) as vault:
        vault.put("a", Secret(b"value"))
        kept = vault.file.loaded.holding.secrets["a"]
        item, before = kept.items[1], vault.file.path.read_bytes()
        numbers = range(1 << 18, (1 << 18) + 250_000)
        kept.items |= {number: Item(number, 0, 1, item.key, 1, State.LIVE, item.place) for number in numbers}
        with pytest.raises(SecretRefused, match="several steps"):
            vault.delete("a")
        assert vault.file.path.read_bytes() == before


def test_threads_lose_nothing(tmp_path):
    with new(tmp_path) as vault:
        vault.put("a", Secret(b"0"))
        errors = []

        def work(number):
            try:
                for count in range(10):
                    vault.put(f"n/{number}", Secret(b"%d" % count))
                    vault.get("a")
            except HoldfastError as error:
                errors.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not errors
        assert [len(vault.history(f"n/{number}")) for number in range(4)] == [10] * 4


def test_who_expects_another_version_is_told(tmp_path):
    with new(tmp_path) as one, reopened(tmp_path) as two:
        one.put("a", Secret(b"one"), expect=0)
        with pytest.raises(SecretMoved, match="version 1"):
            two.put("a", Secret(b"two"), expect=0)


@pytest.mark.parametrize("n", [3, 1 << 24], ids=["no power", "too dear"])
def test_costs_that_cannot_be_are_refused(tmp_path, n):
    with pytest.raises(ConfigurationError, match="power of 2"):
        new(tmp_path, seal=Passphrase(Secret("x"), n=n))
    with pytest.raises(ConfigurationError, match="empty"):
        new(tmp_path, seal=Passphrase(Secret("")))
    assert not (tmp_path / "vault").exists()


def test_it_does_not_show_what_it_has(tmp_path):
    with new(tmp_path) as vault:
        vault.put("a", Secret(b"planted-value"))
        assert "planted" not in repr(vault) + repr(vault.seals) + repr(PHRASE) + repr(vault.get("a"))
    assert Vault.scheme == "file"


def test_without_the_extra_it_names_it_and_makes_nothing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    monkeypatch.delitem(sys.modules, "holdfast.secrets.vault._primitives", raising=False)
    monkeypatch.delattr("holdfast.secrets.vault._primitives", raising=False)
    with pytest.raises(MissingExtra, match=r"holdfast\[secrets\]"):
        new(tmp_path)
    assert not (tmp_path / "vault").exists()


def test_who_waits_for_the_vault_is_the_next_to_have_it(tmp_path):
    """And nobody overtakes: the turn is taken while the lock is waited for, and given back with it."""
    with new(tmp_path) as vault, (tmp_path / ".vault.lock").open() as lock, (tmp_path / ".vault.turn").open() as turn:
        fcntl.flock(lock, fcntl.LOCK_EX)
        waiting = threading.Thread(target=lambda: vault.put("a", Secret(b"one")))
        waiting.start()
        deadline, taken = time.monotonic() + 5, False
        while not taken and time.monotonic() < deadline:
            try:
                fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
                fcntl.flock(turn, fcntl.LOCK_UN)
                time.sleep(0.005)
            except BlockingIOError:
                taken = True
        fcntl.flock(lock, fcntl.LOCK_UN)
        waiting.join()
        assert taken
        fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert value(vault, "a") == b"one"
