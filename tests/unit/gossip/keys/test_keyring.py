# SPDX-License-Identifier: Apache-2.0
"""Keys are installed, used and removed; a step that is done already changes nothing."""

from __future__ import annotations

import pickle
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import ConfigurationError, KeyRefused, MissingExtra
from holdfast.gossip.keys import Key, Keyring
from holdfast.gossip.keys.keyring import KEYS_MAX

A, B, C = (Key(letter * 32) for letter in (b"a", b"b", b"c"))


@pytest.mark.parametrize("size", [16, 24, 32])
def test_a_key_has_the_sizes_of_aes(size):
    assert Key(bytes(size)).reveal() == bytes(size)


@pytest.mark.parametrize("size", [0, 15, 17, 31, 33, 64])
def test_a_key_of_another_size_is_refused(size):
    with pytest.raises(ConfigurationError):
        Key(bytes(size))


def test_a_key_does_not_show_itself():
    assert "aaaa" not in f"{A!r} {A} {Keyring([A])!r}"
    assert A.text not in f"{A!r} {A} {Keyring([A])!r}"
    with pytest.raises(TypeError):
        pickle.dumps(A)


def test_ids_tell_keys_apart_and_stay():
    assert len({A.id, B.id, C.id, Key(b"a" * 16).id}) == 4
    assert Key(b"a" * 32).id == A.id
    assert A.id not in A.reveal().hex()


def test_a_key_is_read_from_base64():
    assert Key.from_text(A.text) == A


@pytest.mark.parametrize("text", ["", "not base64!", "YWJj", "ä" * 44])
def test_text_that_is_no_key_is_refused_and_not_quoted(text):
    with pytest.raises(ConfigurationError) as refused:
        Key.from_text(text)
    assert not text or text not in str(refused.value)


def test_a_key_counts_what_it_seals():
    key = Key(b"k" * 16)
    for _ in range(3):
        key.seal(bytes(12), b"", b"")
    assert key.encryptions == 3


def test_the_first_key_is_the_primary_one():
    assert Keyring([A, B, A]).keys == (A, B)


def test_a_key_is_changed_in_three_steps():
    ring = Keyring([A])
    assert ring.install(B)
    assert (ring.primary, ring.keys) == (A, (A, B))
    assert ring.use(B)
    assert (ring.primary, ring.keys) == (B, (B, A))
    assert ring.remove(A)
    assert ring.keys == (B,)


def test_a_step_that_is_done_already_changes_nothing():
    kept = []
    ring = Keyring([A, B], on_change=kept.append)
    assert not ring.install(Key(b"b" * 32))
    assert not ring.use(Key(b"a" * 32))
    assert not ring.remove(C)
    assert (ring.keys, kept) == ((A, B), [])


def test_the_primary_key_is_not_removed():
    ring = Keyring([A, B])
    with pytest.raises(KeyRefused, match=A.id):
        ring.remove(Key(b"a" * 32))
    assert ring.keys == (A, B)


def test_a_key_that_is_not_installed_is_not_used():
    ring = Keyring([A])
    with pytest.raises(KeyRefused, match=B.id):
        ring.use(B)
    assert ring.keys == (A,)


def test_a_ring_has_a_key_and_not_too_many():
    with pytest.raises(ConfigurationError):
        Keyring([])
    keys = [Key(number.to_bytes(16, "big")) for number in range(KEYS_MAX + 1)]
    with pytest.raises(ConfigurationError):
        Keyring(keys)
    full = Keyring(keys[:-1])
    with pytest.raises(KeyRefused):
        full.install(keys[-1])


def test_a_key_that_comes_again_keeps_its_count():
    ring = Keyring([A, Key(b"b" * 32)])
    own = ring.find(B)
    own.seal(bytes(12), b"", b"")
    ring.use(Key(b"b" * 32))
    assert ring.primary is own
    assert ring.find(C) is None


def test_a_change_that_is_not_kept_is_not_made():
    def full(keys):
        raise OSError("no space left")

    ring = Keyring([A, B], on_change=full)
    for step in (lambda: ring.install(C), lambda: ring.use(B), lambda: ring.remove(B)):
        with pytest.raises(OSError, match="space"):
            step()
        assert ring.keys == (A, B)


@given(st.lists(st.tuples(st.sampled_from(["install", "use", "remove"]), st.integers(0, 4))))
def test_whatever_is_asked_a_ring_seals_with_one_of_its_keys(steps):
    keys = [Key(bytes([number]) * 16) for number in range(5)]
    kept = []
    ring = Keyring([keys[0]], on_change=kept.append)
    for step, number in steps:
        before = ring.keys
        try:
            changed = getattr(ring, step)(keys[number])
        except KeyRefused:
            changed = False
        assert changed == (ring.keys != before)
        assert ring.primary in ring.keys
        assert len(set(ring.keys)) == len(ring.keys) >= 1
    assert not kept or kept[-1] == ring.keys


def test_without_the_extra_a_key_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    monkeypatch.delitem(sys.modules, "holdfast.gossip.keys._primitives", raising=False)
    monkeypatch.delattr("holdfast.gossip.keys._primitives", raising=False)
    with pytest.raises(MissingExtra, match=r"holdfast\[gossip\]"):
        Key(bytes(16))
