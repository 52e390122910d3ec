# SPDX-License-Identifier: Apache-2.0
"""A vault is followed as the sealed file that it is: through changes, compaction and new keys, and never opened on the
way."""

from __future__ import annotations

import secrets

import msgspec
import pytest

from holdfast._base.secret import Secret
from holdfast.errors import SecretsDamaged, SecretsSealed, SecretsUnreachable
from holdfast.secrets.serve import Replica
from holdfast.secrets.serve.vaulted import VaultFeed, vault_opener
from holdfast.secrets.vault import FilePin, KeyFile, Vault

PLANTED = b"planted-4711-value"


@pytest.fixture
def seal(tmp_path):
    (tmp_path / "key").write_bytes(secrets.token_bytes(32))
    return KeyFile(tmp_path / "key")


@pytest.fixture
def vault(tmp_path, seal):
    with Vault.create(tmp_path / "vault", seal, pin=FilePin(tmp_path / "pins")) as made:
        made.put("shop/db", Secret(PLANTED))
        yield made


@pytest.fixture
def feed(vault, tmp_path):
    return VaultFeed(vault)


@pytest.fixture
def replica(tmp_path, seal):
    made = Replica(tmp_path / "standby", vault_opener(seal))
    yield made
    made.close()


def follow(replica, feed):
    before = replica.begun
    piece = feed.piece(before.file if before else "", before.size if before else 0)
    assert PLANTED not in piece.data
    assert b"shop" not in piece.data
    replica.take(piece.place, piece.since, piece.data)
    return piece


def test_it_is_followed_through_all_that_a_vault_does(vault, feed, replica, tmp_path):
    assert follow(replica, feed).since == 0
    vault.put("shop/db", Secret(PLANTED + b"2"))
    assert follow(replica, feed).since > 0
    for change in (vault.compact, vault.rekey, lambda: vault.rekey(values=True), lambda: vault.destroy("shop/db",
                                                                                                       version=1)):
        change()
        follow(replica, feed)
        assert replica.place.generation == vault.generation
        assert replica.get("shop/db").value.reveal() == PLANTED + b"2"
        assert replica.history("shop/db") == vault.history("shop/db")
    assert follow(replica, feed).data == b""
    assert len(list((tmp_path / "standby").glob("copy-*"))) == 1


def test_a_copy_without_its_key_opens_for_nobody(vault, feed, tmp_path):
    (tmp_path / "other").write_bytes(secrets.token_bytes(32))
    replica = Replica(tmp_path / "thief", vault_opener(KeyFile(tmp_path / "other")))
    try:
        with pytest.raises(SecretsSealed):
            follow(replica, feed)
        with pytest.raises(SecretsUnreachable):
            replica.get("shop/db")
        for path in (tmp_path / "thief").iterdir():
            assert PLANTED not in path.read_bytes()
    finally:
        replica.close()


def test_what_was_changed_on_the_way_is_refused_wherever_it_is(vault, feed, replica):
    follow(replica, feed)
    vault.put("shop/db", Secret(PLANTED + b"2"))
    piece = feed.piece(replica.place.file, replica.place.size)
    for at in range(0, len(piece.data), 7):
        sent = bytearray(piece.data)
        sent[at] ^= 1 << at % 8
        with pytest.raises(SecretsDamaged):
            replica.take(piece.place, piece.since, bytes(sent))
    for wrong in ({"generation": piece.place.generation + 1}, {"link": "00" * 32}, {"store": "00" * 16}):
        with pytest.raises(SecretsDamaged):
            replica.take(msgspec.structs.replace(piece.place, **wrong), piece.since, piece.data)
    assert replica.get("shop/db").value.reveal() == PLANTED
    follow(replica, feed)
    assert replica.get("shop/db").value.reveal() == PLANTED + b"2"


def test_a_sealed_vault_cannot_be_followed(vault, feed):
    vault.seal()
    with pytest.raises(SecretsSealed):
        feed.piece("", 0)


def test_a_feed_leaves_no_copy_that_outlives_what_is_destroyed(vault, feed, replica, tmp_path):
    before = sorted(path.name for path in tmp_path.iterdir())
    follow(replica, feed)
    assert sorted(path.name for path in tmp_path.iterdir()) == before
