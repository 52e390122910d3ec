# SPDX-License-Identifier: Apache-2.0
"""A vault beside others who write, cut, swap and break: what was told stays, and what was refused is not done."""

from __future__ import annotations

import json
import os

import msgspec
import pytest

from holdfast._base.secret import Secret
from holdfast.errors import SecretRefused, SecretsDamaged, SecretsUnreachable
from holdfast.secrets.vault import Leases, Vault
from holdfast.secrets.vault.form import HEADER_MAX, read_header, write_header
from tests.unit.secrets.vault.kit import OTHER, PHRASE, ManualClock, new, pin_of, reopened, value


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
        with pytest.raises(SecretsDamaged, match="pin"):
            vault.put("a", Secret(b"refused"))
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
