# SPDX-License-Identifier: Apache-2.0
"""A keyring's file opens under its own passphrase or key file, and under nothing else."""

from __future__ import annotations

import contextlib
import json
import os
import stat

import pytest

from holdfast._base.secret import Secret
from holdfast.errors import ConfigurationError, KeyRefused, KeyringSealed
from holdfast.gossip.keys import Key, KeyFile, Passphrase, open_keyring
from holdfast.gossip.keys.sealed import load, save

A, B = Key(b"a" * 32), Key(b"b" * 16)
QUICK = 1 << 10


def phrase(text="correct horse"):
    return Passphrase(Secret(text), n=QUICK)


@pytest.fixture
def key_file(tmp_path):
    path = tmp_path / "key"
    path.write_bytes(os.urandom(32))
    return KeyFile(path)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "keyring"


def test_keys_come_back_in_their_order(path, key_file):
    for unlock in (phrase(), key_file):
        save(path, (B, A), unlock, os.urandom)
        assert load(path, unlock) == (B, A)


def test_how_old_keys_are_comes_back_too(path, key_file):
    save(path, (Key(b"a" * 32, since_ms=1_790_000_000_000), B), key_file, os.urandom)
    assert [key.since_ms for key in load(path, key_file)] == [1_790_000_000_000, None]


def test_the_file_is_its_owners_and_shows_no_key(path):
    save(path, (A, B), phrase(), os.urandom)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    data = path.read_bytes()
    for key in (A, B):
        assert key.reveal() not in data
        assert key.text.encode() not in data


def test_another_passphrase_or_key_file_does_not_open_it(path, key_file, tmp_path):
    other = tmp_path / "other"
    other.write_bytes(os.urandom(32))
    for right, wrong in ((phrase(), phrase("wrong horse")), (key_file, KeyFile(other)), (phrase(), key_file),
                         (key_file, phrase())):
        save(path, (A,), right, os.urandom)
        with pytest.raises(KeyringSealed):
            load(path, wrong)


def test_any_changed_byte_is_noticed(path, key_file):
    save(path, (A, B), key_file, os.urandom)
    data, passed = path.read_bytes(), 0
    for at in range(len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1:])
        with contextlib.suppress(KeyringSealed):
            assert load(path, key_file) == (A, B)
            passed += 1
    # What may change means nothing: blanks between words, and the bits of Base64 that are not used.
    assert passed <= data.count(b" ") + data.count(b"\n") + data.count(b"=")


def test_a_file_that_ends_anywhere_is_refused(path, key_file):
    save(path, (A,), key_file, os.urandom)
    data = path.read_bytes()
    for end in range(0, len(data) - 2, 7):
        path.write_bytes(data[:end])
        with pytest.raises(KeyringSealed):
            load(path, key_file)


def test_what_is_public_in_the_file_is_bound_to_what_is_not(path, key_file):
    """Salt and commitment of another file of the same key do not go with this one's keys."""
    save(path, (A,), key_file, os.urandom)
    first = json.loads(path.read_bytes())
    save(path, (B,), key_file, os.urandom)
    second = json.loads(path.read_bytes())
    path.write_text(json.dumps(first | {"head": second["head"]}))
    with pytest.raises(KeyringSealed):
        load(path, key_file)


@pytest.mark.parametrize("costs", [{"n": 1 << 30}, {"n": 1000}, {"n": 0}, {"r": 10**6}, {"p": 10**6}, {"p": 0},
                                   {"n": 1 << 20, "r": 16}])
def test_costs_that_nobody_writes_are_not_paid(path, costs):
    save(path, (A,), phrase(), os.urandom)
    written = json.loads(path.read_bytes())
    written["head"]["derivation"] |= costs
    path.write_text(json.dumps(written))
    with pytest.raises(KeyringSealed, match="scrypt"):
        load(path, phrase())


def test_each_write_has_a_salt_and_a_nonce_of_its_own(path, key_file):
    salts, nonces = set(), set()
    for _ in range(5):
        save(path, (A,), key_file, os.urandom)
        written = json.loads(path.read_bytes())
        salts.add(written["head"]["derivation"]["salt"])
        nonces.add(written["nonce"])
    assert (len(salts), len(nonces)) == (5, 5)


def test_a_file_too_large_is_not_read(path, key_file):
    path.write_bytes(b" " * (1 << 20))
    with pytest.raises(KeyringSealed, match="no keyring"):
        load(path, key_file)


def test_a_key_file_too_short_or_missing_is_refused(path, key_file, tmp_path):
    save(path, (A,), key_file, os.urandom)
    key_file.path.write_bytes(b"short")
    with pytest.raises(ConfigurationError):
        load(path, key_file)
    with pytest.raises(KeyringSealed):
        load(path, KeyFile(tmp_path / "missing"))


def test_an_empty_passphrase_seals_nothing(path):
    with pytest.raises(ConfigurationError):
        save(path, (A,), phrase(""), os.urandom)
    assert not path.exists()


def test_a_ring_is_in_its_file_after_each_step(path, key_file):
    ring = open_keyring(path, key_file, os.urandom, first=A)
    assert load(path, key_file) == (A,)
    for step in (lambda: ring.install(B), lambda: ring.use(B), lambda: ring.remove(A)):
        step()
        assert load(path, key_file) == ring.keys
    assert open_keyring(path, key_file, os.urandom, first=A).keys == (B,)


def test_a_step_that_does_not_get_to_disk_is_not_taken(path, key_file):
    ring = open_keyring(path, key_file, os.urandom, first=A)
    key_file.path.unlink()
    with pytest.raises(KeyringSealed):
        ring.install(B)
    assert ring.keys == (A,)


def test_a_step_that_is_refused_does_not_touch_the_file(path, key_file):
    ring = open_keyring(path, key_file, os.urandom, first=A)
    before = path.read_bytes()
    with pytest.raises(KeyRefused):
        ring.remove(A)
    assert path.read_bytes() == before


def test_there_is_no_ring_without_a_file_or_a_key(path, key_file):
    with pytest.raises(ConfigurationError):
        open_keyring(path, key_file, os.urandom)


def test_a_file_says_which_passphrase_opens_it(path):
    """Before anything is opened: AES-GCM alone would let one file open under two passphrases."""
    save(path, (A,), phrase(), os.urandom)
    with pytest.raises(KeyringSealed, match="another passphrase"):
        load(path, phrase("wrong horse"))
