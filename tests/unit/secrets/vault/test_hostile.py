# SPDX-License-Identifier: Apache-2.0
"""A vault beside others who write, cut, swap and break: what was told stays, and what was refused is not done."""

from __future__ import annotations

import json
import os

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast._base import durable
from holdfast._base.secret import Secret
from holdfast.errors import SecretRefused, SecretsDamaged, SecretsUnreachable
from holdfast.secrets.contract import State
from holdfast.secrets.memory import MemoryStore
from holdfast.secrets.vault import Leases, Vault
from holdfast.secrets.vault.form import HEADER_MAX, NONCE, read_header, write_header, write_record
from tests.unit.secrets.vault.kit import OTHER, PHRASE, ManualClock, new, pin_of, reopened, value
from tests.unit.secrets.vault.test_vault import CALLS, asked


def cut(path, size):
    os.truncate(path, size)


def flipped(path, size):
    data = bytearray(path.read_bytes())
    data[size + 40] ^= 1
    with path.open("r+b") as file:
        file.write(data)


@pytest.mark.parametrize("harm", [lambda path, size: cut(path, size + 30), flipped], ids=["cut", "flipped"])
def test_what_another_was_told_of_is_not_dropped_by_who_has_it_open(tmp_path, harm):
    path = tmp_path / "vault"
    with new(tmp_path) as one, reopened(tmp_path) as two:
        one.put("a", Secret(b"first"))
        assert value(two, "a") == b"first"
        size = path.stat().st_size
        one.put("a", Secret(b"second"))  # acknowledged, and pinned
        harm(path, size)
        with pytest.raises(SecretsDamaged):
            two.get("a")
        with pytest.raises(SecretsDamaged):
            two.put("a", Secret(b"third"))
        assert path.stat().st_size > size  # nobody cut off what is left of it


def test_an_old_copy_is_refused_by_who_has_seen_less_than_it_holds(tmp_path):
    path = tmp_path / "vault"
    with new(tmp_path) as one, reopened(tmp_path) as late:
        one.put("a", Secret(b"first"))
        old = path.read_bytes()
        one.put("a", Secret(b"second"))
        whole = path.read_bytes()
        path.write_bytes(old)
        with pytest.raises(SecretsDamaged, match="older copy"):
            late.get("a")
        with pytest.raises(SecretsDamaged, match="older copy"):
            late.put("a", Secret(b"third"))
        path.write_bytes(whole)
        assert value(late, "a") == b"second"


def test_what_was_never_acknowledged_is_still_dropped_by_who_has_it_open(tmp_path):
    with new(tmp_path) as one, reopened(tmp_path) as two:
        one.put("a", Secret(b"first"))
        assert value(two, "a") == b"first"
        with (tmp_path / "vault").open("ab") as file:
            file.write(b"\x00\x00\x01")
        assert value(two, "a") == b"first"
        two.put("a", Secret(b"second"))
        assert value(one, "a") == b"second"


def test_nothing_is_acknowledged_whose_pin_went_another_way(tmp_path):
    """Somebody with the pin at a later place than the file: the write would be refused by every later opening."""
    with new(tmp_path) as vault:
        vault.put("a", Secret(b"first"))
        path = pin_of(tmp_path).path(vault.file.loaded.header.store)
        pinned = json.loads(path.read_bytes())
        path.write_text(json.dumps(pinned | {"generation": pinned["generation"] + 1}))
        with pytest.raises((SecretRefused, SecretsDamaged)):
            vault.put("a", Secret(b"second"))


def test_a_pin_that_was_damaged_lets_nothing_be_written(tmp_path):
    with new(tmp_path) as vault:
        vault.put("a", Secret(b"first"))
        path = pin_of(tmp_path).path(vault.file.loaded.header.store)
        whole = path.read_bytes()
        path.write_bytes(b"{")
        size = (tmp_path / "vault").stat().st_size
        for call in (vault.compact, lambda: vault.destroy("a"), lambda: vault.put("a", Secret(b"refused"))):
            with pytest.raises(SecretsDamaged, match="pin"):
                call()
            assert (tmp_path / "vault").stat().st_size == size
        path.write_bytes(whole)
        assert value(vault, "a") == b"first"


def test_a_backup_is_not_restored_over_another_vault(tmp_path):
    with new(tmp_path, "one") as one, new(tmp_path, "two") as two:
        one.put("a", Secret(b"of one"))
        two.put("b", Secret(b"of two"))
        two.backup(tmp_path / "backup")
    for adopt in (False, True):
        with pytest.raises(SecretRefused, match="another vault"):
            Vault.restore(tmp_path / "backup", tmp_path / "one", PHRASE, adopt=adopt, pin=pin_of(tmp_path))
    with reopened(tmp_path, "one") as one:
        assert value(one, "a") == b"of one"


def test_a_damaged_vault_is_still_restored(tmp_path):
    with new(tmp_path) as vault:
        vault.put("a", Secret(b"value"))
        vault.backup(tmp_path / "backup")
    (tmp_path / "vault").write_bytes(b"gone")
    with Vault.restore(tmp_path / "backup", tmp_path / "vault", PHRASE, pin=pin_of(tmp_path)) as vault:
        assert value(vault, "a") == b"value"


def test_what_was_revoked_does_not_come_back_with_a_clock_that_was_set_back(tmp_path):
    clock = ManualClock()
    with new(tmp_path, clock=clock) as vault:
        vault.put("a", Secret(b"value"))
        leases = Leases(vault, ttl_s=3600)
        lease = leases.grant("a", "me")
        clock.advance(600)
        leases.revoke(lease.id)
        clock.step_wall(-300_000)
        with pytest.raises(SecretRefused, match="run out"):
            leases.renew(lease.id)
        assert [one.id for one in leases.due()] == [lease.id]
        vault.compact()
        assert [one.id for one in leases.due()] == [lease.id]
    with reopened(tmp_path, clock=clock) as vault:
        assert [one.id for one in Leases(vault).due()] == [lease.id]


def test_what_is_no_file_is_said_to_be_none_and_nobody_waits_for_it(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(SecretsUnreachable, match="is no file"):
            Vault.open(path, PHRASE, pin=pin_of(tmp_path))
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(SecretsUnreachable, match="loop"):
        Vault.open(tmp_path / "loop", PHRASE, pin=pin_of(tmp_path))


def test_of_a_large_file_no_more_is_read_than_a_header_has(tmp_path, monkeypatch):
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(8 << 30)
    read = []
    original = os.pread
    monkeypatch.setattr("os.pread", lambda descriptor, size, at: read.append(size) or original(descriptor, size, at))
    with pytest.raises(SecretsDamaged, match="no vault"):
        Vault.open(path, PHRASE, pin=pin_of(tmp_path))
    assert sum(read) <= HEADER_MAX + 128


def test_more_seals_than_a_vault_has_are_not_tried(tmp_path):
    """Each costs what scrypt costs, and nobody has yet seen whether the header is genuine."""
    new(tmp_path).close()
    path = tmp_path / "vault"
    header, raw = read_header(path.read_bytes())
    many = msgspec.structs.replace(header, slots=header.slots * 17)
    path.write_bytes(write_header(many, bytes(32)) + path.read_bytes()[len(raw):])
    with pytest.raises(SecretsDamaged, match="seals"):
        Vault.open(path, OTHER, pin=pin_of(tmp_path))


def test_a_lock_is_not_made_through_a_link(tmp_path):
    new(tmp_path).close()
    for what in ("lock", "turn"):
        (tmp_path / f".vault.{what}").unlink()
        (tmp_path / f".vault.{what}").symlink_to(tmp_path / f"elsewhere-{what}")
    with reopened(tmp_path) as vault, pytest.raises(SecretRefused):
        vault.put("a", Secret(b"value"))
    assert not list(tmp_path.glob("elsewhere-*"))


WHO = st.sampled_from(["one", "two"])
HARM = st.tuples(st.just("harm"), st.sampled_from(["torn", "cut record", "touched", "old copy"]), st.just({}))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(WHO, CALLS | HARM), max_size=25))
def test_two_who_have_it_open_answer_as_one_whatever_is_done_to_the_file(tmp_path_factory, calls):
    folder, clock = tmp_path_factory.mktemp("two"), ManualClock()
    path, plain, copies = folder / "vault", MemoryStore(clock.wall_ms), []
    vaults = {"one": new(folder, clock=clock)}
    vaults["two"] = reopened(folder, clock=clock)
    for who, (call, name, how) in calls:
        clock.advance(0.01)
        vault = vaults[who]
        if call == "harm" and name == "old copy":
            copies.append((vault.generation, path.read_bytes()))
            if copies[0][0] < copies[-1][0]:
                path.write_bytes(copies[0][1])
                for one in vaults.values():
                    with pytest.raises(SecretsDamaged):
                        one.names()
                    with pytest.raises(SecretsDamaged):
                        one.put("a", Secret(b"lost"))
                path.write_bytes(copies[-1][1])
        elif call == "harm":
            harmed(path, name, vault)
        elif call == "reopen":
            vault.close()
            vaults[who] = reopened(folder, clock=clock)
        elif call in ("compact", "rekey", "rekey-values", "seal"):
            getattr(vault, call.removesuffix("-values"))(**({"values": True} if call == "rekey-values" else {}))
            if call == "seal":
                vault.unseal(PHRASE)
        else:
            assert asked(vault, call, name, how) == asked(plain, call, name, how)
    for vault in vaults.values():
        assert vault.names() == plain.names()
        vault.verify()
        vault.close()


def harmed(path, how, vault):
    """What a writer leaves who is killed, and who only looks at the file."""
    if how == "touched":
        path.touch()
        return
    loaded = vault.file.refresh()
    sealed = loaded.keys.seal_entry(bytes(NONCE), bytes(300), loaded.end.number + 1, loaded.end.link, b"")
    raw = write_record(bytes(NONCE), sealed, b"value")
    with path.open("r+b") as file:
        file.seek(loaded.end.offset)
        file.write(raw[:5] if how == "torn" else raw[:-1])


def test_a_file_that_a_power_cut_may_bring_back_is_not_refused_then(tmp_path, monkeypatch):
    path = tmp_path / "vault"
    with new(tmp_path) as vault:
        vault.put("a", Secret(b"first"))
        vault.put("a", Secret(b"second"))
        old = path.read_bytes()

        def unsettled(*args):
            durable.replace(*args)
            raise durable.Unsettled(5, "Input/output error")

        with monkeypatch.context() as patch:
            patch.setattr("holdfast.secrets.vault.file.replace", unsettled)
            with pytest.raises(SecretRefused, match="a power cut may bring the file before it back"):
                vault.destroy("a", version=1)
        assert path.read_bytes() != old
        assert value(vault, "a") == b"second"
        assert vault.history("a")[1].state is State.DESTROYED
    whole = path.read_bytes()
    path.write_bytes(old)
    with reopened(tmp_path) as again:
        assert value(again, "a") == b"second"
    path.write_bytes(whole)
    with reopened(tmp_path) as again:
        again.compact()
        assert value(again, "a") == b"second"


def test_a_backup_whose_folder_is_not_on_disk_is_said_to_be_there_and_opens(tmp_path, monkeypatch):
    with new(tmp_path) as vault:
        vault.put("a", Secret(b"first"))
        vault.backup(tmp_path / "backup")
        vault.put("a", Secret(b"second"))
    later = (tmp_path / "vault").read_bytes()

    def unsettled(*args):
        durable.replace(*args)
        raise durable.Unsettled(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("holdfast.secrets.vault.vault.replace", unsettled)
        with pytest.raises(SecretRefused, match="is the backup now, and a power cut may bring"):
            Vault.restore(tmp_path / "backup", tmp_path / "vault", PHRASE, adopt=True, pin=pin_of(tmp_path))
    with reopened(tmp_path) as restored:
        assert value(restored, "a") == b"first"
    (tmp_path / "vault").write_bytes(later)
    with reopened(tmp_path) as again:
        assert value(again, "a") == b"second"
