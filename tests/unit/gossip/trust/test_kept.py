# SPDX-License-Identifier: Apache-2.0
"""What a member is and knows is on disk, sealed, its owner's alone, and comes back."""

from __future__ import annotations

import os
import stat

import pytest

from holdfast._base.secret import Secret
from holdfast.errors import ConfigurationError, KeyringSealed
from holdfast.gossip.keys import Key, KeyFile, Passphrase
from holdfast.gossip.keys.sealed import save
from holdfast.gossip.trust import kept
from holdfast.gossip.trust.identity import Identity
from holdfast.gossip.trust.invites import Redeemed
from holdfast.gossip.trust.machine import Trust
from tests.unit.gossip.trust.colony import Colony
from tests.unit.gossip.trust.people import NOW, Town

TOWN = Town()
WHO = TOWN.citizen("one")
PHRASE = Passphrase(Secret("correct horse"), n=1 << 10)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file"


def test_an_identity_comes_back_with_its_certificate(path):
    kept.write_identity(path, *WHO, PHRASE, os.urandom)
    identity, credential = kept.read_identity(path, PHRASE)
    assert (identity.id, identity.reveal(), credential) == (WHO[0].id, WHO[0].reveal(), WHO[1])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["file"]
    data = path.read_bytes()
    for key in (WHO[0].reveal()[:32], WHO[0].reveal()[32:]):
        assert key not in data
        assert key.hex().encode() not in data


def test_an_identity_is_made_once(path):
    first, none = kept.open_identity(path, PHRASE, os.urandom)
    again, _ = kept.open_identity(path, PHRASE, os.urandom)
    assert none is None
    assert first.reveal() == again.reveal()


def test_a_full_disk_leaves_the_file_as_it_was(path, monkeypatch):
    kept.write_identity(path, *WHO, PHRASE, os.urandom)
    before = path.read_bytes()

    def full(*_):
        raise OSError("no space")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        kept.write_identity(path, Identity.generate(os.urandom), None, PHRASE, os.urandom)
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir()] == ["file"]


def test_another_passphrase_does_not_open_it(path):
    kept.write_identity(path, *WHO, PHRASE, os.urandom)
    with pytest.raises(KeyringSealed):
        kept.read_identity(path, Passphrase(Secret("wrong horse"), n=1 << 10))


def test_one_kind_of_file_is_not_taken_for_another(path, tmp_path):
    """All under one passphrase: what it is is bound to what is in it."""
    writers = {
        "identity": lambda: kept.write_identity(path, *WHO, PHRASE, os.urandom),
        "state": lambda: kept.write_state(path, b"state", PHRASE, os.urandom),
        "invitations": lambda: kept.write_redeemed(path, (), PHRASE, os.urandom),
        "keyring": lambda: save(path, (Key(b"k" * 32),), PHRASE, os.urandom)}
    readers = {"identity": kept.read_identity, "state": kept.read_state, "invitations": kept.read_redeemed}
    forms = {"identity": kept.IDENTITY, "state": kept.STATE, "invitations": kept.INVITATIONS}
    for written, write in writers.items():
        write()
        for wanted, read in readers.items():
            if wanted == written:
                read(path, PHRASE)
                continue
            with pytest.raises(KeyringSealed):
                read(path, PHRASE)
            other = path.read_text()
            for form in [*forms.values(), "holdfast keyring 1"]:
                other = other.replace(form, forms[wanted])
            (tmp_path / "renamed").write_text(other)
            with pytest.raises(KeyringSealed):
                read(tmp_path / "renamed", PHRASE)


def test_state_and_invitations_come_back_or_are_not_there_yet(path, tmp_path):
    key_file = tmp_path / "key"
    key_file.write_bytes(os.urandom(32))
    unlock = KeyFile(key_file)
    assert kept.read_state(path, unlock) == b""
    assert kept.read_redeemed(path, unlock) == ()
    kept.write_state(path, b"all of it", unlock, os.urandom)
    assert kept.read_state(path, unlock) == b"all of it"
    used = (Redeemed(b"k" * 32, WHO[0].id, NOW, WHO[1].certificate),)
    kept.write_redeemed(path, used, unlock, os.urandom)
    assert kept.read_redeemed(path, unlock) == used


def test_a_member_comes_back_with_what_it_knew(path):
    colony = Colony(5)
    colony.found()
    colony.expel("a" * 32)
    colony.until(lambda: colony.settled(colony.ids, 2))
    member = colony.members[colony.ids[1]]
    kept.write_state(path, member.trust.state(), PHRASE, os.urandom)
    again = Trust(colony.town.anchor, member.identity, member.credential, colony.town.entropy)
    again.restore(kept.read_state(path, PHRASE), colony.wall)
    assert again.state() == member.trust.state()
    assert again.epochs.current.key.reveal() == member.trust.epochs.current.key.reveal()
    assert again.epochs.all_over == member.trust.epochs.all_over


def test_a_state_of_another_cluster_or_damaged_is_refused():
    colony = Colony(4)
    colony.found()
    member = colony.members[colony.ids[1]]
    there = Town(cluster=b"there")
    state = member.trust.state()
    with pytest.raises(KeyringSealed, match="another cluster"):
        Trust(there.anchor, *there.citizen(), there.entropy).restore(state, NOW)
    for cut in (state[:-1], state[1:], b"x", state.replace(member.trust.epochs.current.key.reveal(), b"x" * 32)):
        with pytest.raises(KeyringSealed):
            Trust(colony.town.anchor, member.identity, member.credential, colony.town.entropy).restore(cut, NOW)


def test_a_state_that_would_not_be_read_back_is_not_written(path):
    with pytest.raises(ConfigurationError):
        kept.write_state(path, bytes(kept.STATE_MAX * 3 // 4), PHRASE, os.urandom)
    assert not path.exists()
