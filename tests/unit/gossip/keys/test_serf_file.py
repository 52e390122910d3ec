# SPDX-License-Identifier: Apache-2.0
"""Serf's keyring file is read, and written as Serf writes it."""

from __future__ import annotations

import stat

import pytest

from holdfast.errors import ConfigurationError
from holdfast.gossip.keys import Key, open_serf, read_serf, write_serf

A, B = Key(b"a" * 32), Key(b"b" * 16)


def test_a_file_is_the_list_that_serf_writes(tmp_path):
    path = tmp_path / "keyring.json"
    write_serf(path, (B, A))
    assert path.read_text() == f'[\n  "{B.text}",\n  "{A.text}"\n]'
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_serf(path) == (B, A)


def test_a_ring_is_in_its_file_after_each_step(tmp_path):
    path = tmp_path / "keyring.json"
    write_serf(path, (A,))
    ring = open_serf(path)
    ring.install(B)
    ring.use(B)
    assert read_serf(path) == (B, A)


@pytest.mark.parametrize("content", [
    b"", b"{}", b"[]", b"[1]", b'["not base64"]', b'["YWJj"]', b"\xff", b" " * 100_000])
def test_a_file_that_is_none_is_refused(tmp_path, content):
    path = tmp_path / "keyring.json"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError):
        read_serf(path)
