# SPDX-License-Identifier: Apache-2.0
"""Keys are changed by queries that everybody answers, and each answer is counted."""

from __future__ import annotations

import pytest

from holdfast.gossip.keys import Key, Keyring
from holdfast.gossip.serf.key_queries import STEPS, KeyDesk, KeyTally, fitted, query_name, step_of
from holdfast.gossip.serf.messages import KeyRequest, KeyResponse, QueryResponse
from holdfast.gossip.wire import serf

A, B = Key(b"a" * 32), Key(b"b" * 32)


def asked(key):
    return serf.encode(KeyRequest(key.reveal()))


def test_queries_have_the_names_that_serf_gives_them():
    assert [query_name(step) for step in STEPS] == [
        "_serf_install-key", "_serf_use-key", "_serf_remove-key", "_serf_list-keys"]
    assert [step_of(query_name(step)) for step in STEPS] == list(STEPS)
    assert step_of("install-key") is None
    assert step_of("_serf_ping") is None


def test_a_key_is_changed_step_by_step():
    ring = Keyring([A])
    desk = KeyDesk(ring)
    for _ in range(2):  # each step may come again
        assert desk.answer("install-key", asked(B)) == KeyResponse(True)
        assert desk.answer("use-key", asked(B)) == KeyResponse(True)
    for _ in range(2):
        assert desk.answer("remove-key", asked(A)) == KeyResponse(True)
    assert ring.keys == (B,)
    assert desk.answer("list-keys", b"") == KeyResponse(True, "", (B.text,), B.text)


@pytest.mark.parametrize(("step", "payload"), [
    ("remove-key", asked(A)), ("use-key", asked(B)), ("install-key", b"\x07\x81\xa3Key\xa3abc"), ("install-key", b""),
    ("install-key", b"\x07\x80"), ("install-key", serf.encode(KeyResponse(True)))])
def test_what_cannot_be_done_is_said_and_changes_nothing(step, payload):
    ring = Keyring([A])
    answer = KeyDesk(ring).answer(step, payload)
    assert not answer.result
    assert answer.message
    assert ring.keys == (A,)


def test_a_disk_that_is_full_is_said():
    def full(keys):
        raise OSError("no space left")

    answer = KeyDesk(Keyring([A], on_change=full)).answer("install-key", asked(B))
    assert answer == KeyResponse(False, "no space left")


def test_without_encryption_there_is_nothing_to_change():
    answer = KeyDesk(None).answer("list-keys", b"")
    assert not answer.result
    assert "encryption" in answer.message


def test_a_cluster_that_changes_keys_another_way_shows_none():
    ring = Keyring([A])
    desk = KeyDesk(ring, refuse="keys are sealed to each member here")
    for step in STEPS:
        assert desk.answer(step, asked(B)) == KeyResponse(False, "keys are sealed to each member here")
    assert ring.keys == (A,)


def test_a_list_of_keys_fits_into_an_answer():
    keys = tuple(Key(number.to_bytes(32, "big")).text for number in range(60))
    around = QueryResponse(1, 2, "a-node-of-some-name")
    payload = fitted(KeyResponse(True, "", keys, keys[0]), around, 1024)
    assert len(serf.encode(QueryResponse(1, 2, around.node, 0, payload))) <= 1024
    shown = serf.decode(payload)
    assert 15 < len(shown.keys) < 25
    assert shown.keys == keys[:len(shown.keys)]
    assert shown.message == f"truncated key list response, showing first {len(shown.keys)} of 60 keys"
    assert shown.primary_key == keys[0]


def test_an_answer_that_fits_is_not_touched():
    answer = KeyResponse(True, "", (A.text,), A.text)
    assert serf.decode(fitted(answer, QueryResponse(1, 2, "a"), 1024)) == answer


def test_a_step_is_through_when_everybody_did_it():
    tally = KeyTally(3)
    for node in ("a", "b"):
        tally.count(node, serf.encode(KeyResponse(True, "", (A.text, B.text), A.text)))
    assert not tally.complete
    assert tally.missing(["a", "b", "c"]) == {"c"}
    tally.count("c", serf.encode(KeyResponse(True, "", (A.text,), A.text)))
    assert tally.complete
    assert (tally.keys, tally.primaries) == ({A.text: 3, B.text: 2}, {A.text: 3})
    assert A.text not in repr(tally)


@pytest.mark.parametrize("payload", [b"", b"\x08\xc1", serf.encode(KeyRequest(b"")),
                                     serf.encode(KeyResponse(False, "full"))])
def test_a_step_is_not_through_when_one_failed(payload):
    tally = KeyTally(2)
    tally.count("a", serf.encode(KeyResponse(True)))
    tally.count("b", payload)
    assert (tally.answered, tally.failed, tally.complete) == (2, 1, False)
    assert tally.messages["b"]
