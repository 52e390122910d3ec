# SPDX-License-Identifier: Apache-2.0
"""A process that forks while it writes: its child has the lock's descriptor too, and does not keep the others out."""

from __future__ import annotations

import fcntl
import os
import secrets

import pytest

from holdfast._base.secret import Secret
from holdfast.secrets.access import AuditLog, Said, Tokens
from holdfast.secrets.vault import FilePin
from holdfast.secrets.vault.form import Head
from holdfast.testing import ManualClock
from tests.unit.secrets.access.conftest import KEY


def audit(folder):
    with AuditLog(folder, Secret(KEY), ManualClock().wall_ms) as log:
        log.write(Said("me", frozenset({"app"}), "read", "a", "done"))


def tokens(folder):
    Tokens(folder / "tokens", ManualClock().wall_ms, secrets.token_bytes).issue("me", frozenset({"app"}))


def pin(folder):
    FilePin(folder).write(bytes(16), Head(1, bytes(32)))


@pytest.mark.parametrize("write", [audit, tokens, pin], ids=lambda write: write.__name__)
def test_a_lock_is_given_back_though_a_child_has_it_too(tmp_path, monkeypatch, write):
    original, children = fcntl.flock, []

    def flock(descriptor, how):
        original(descriptor, how)
        if how != fcntl.LOCK_UN:
            children.append(os.dup(descriptor))  # what a fork does

    monkeypatch.setattr(fcntl, "flock", flock)
    write(tmp_path)
    monkeypatch.undo()
    assert children
    [path] = (one for one in tmp_path.iterdir() if "lock" in one.name)
    with path.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    for each in children:
        os.close(each)
