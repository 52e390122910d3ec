# SPDX-License-Identifier: Apache-2.0
"""What fuzzing found, each by itself."""

from __future__ import annotations

import struct
import tracemalloc

import pytest

from holdfast.errors import BadPacket, ConfigurationError, KeyringSealed
from holdfast.gossip.agent import snapshot
from holdfast.gossip.defence import boxes
from holdfast.gossip.keys import read_serf
from holdfast.gossip.keys.rotation_record import json_to_ledger
from holdfast.gossip.keys.sealed import Passphrase, read_sealed
from holdfast.gossip.native import exchange

DEEP = b"\x91" * 60_000


def test_a_box_that_nests_without_end_is_refused_and_not_followed():
    """Its sender is a member whose key this one knows, so it opens."""
    with pytest.raises(BadPacket, match="not written as boxes are"):
        boxes._inside(boxes._padded(b"\x93\x91\xc4\x01b\xc4\x00" + DEEP), "b", 1)


def test_a_record_of_rotations_with_text_that_is_none_is_refused_with_advice():
    with pytest.raises(ConfigurationError, match="without it the keys stay as they are"):
        json_to_ledger(b'{"primary":"\x80"}')


def test_a_keyring_of_serfs_with_text_that_is_none_is_refused(tmp_path):
    path = tmp_path / "keyring.json"
    path.write_bytes(b'["\x80"]')
    with pytest.raises(ConfigurationError, match="no keyring of Serf's"):
        read_serf(path)


def test_a_sealed_file_with_text_that_is_none_is_refused(tmp_path):
    path = tmp_path / "keys"
    path.write_bytes(b'{"head":{"format":"\x80","derivation":{"type":"Hkdf","salt":""}}}')
    with pytest.raises(KeyringSealed, match="is no keyring"):
        read_sealed(path, Passphrase("x"), "keyring", 1000)


def peak(call, *args):
    tracemalloc.start()
    try:
        call(*args)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_an_exchange_of_too_many_messages_is_refused_before_they_are_read():
    many = exchange.SIGNED_MAX + 1
    data = b"\x93\xc2\x90\xdd" + struct.pack(">I", many) + b"\xc4\x00" * many

    def refused():
        with pytest.raises(BadPacket, match=str(exchange.SIGNED_MAX)):
            exchange.decode(data)

    assert peak(refused) < 1 << 20


def test_a_snapshot_of_ends_of_lines_is_read_line_by_line():
    data = b"\n" * 100_000
    found = []
    assert peak(lambda: found.append(snapshot.read(data))) < 2 * len(data)
    assert found[0].damaged == len(data)
