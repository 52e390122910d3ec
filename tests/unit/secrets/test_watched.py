# SPDX-License-Identifier: Apache-2.0
"""What a store was asked is told, with what came of it and without what it is about."""

from __future__ import annotations

import pytest

from holdfast import errors
from holdfast._base.clock import SystemClock
from holdfast._base.secret import Secret
from holdfast.secrets.memory import MemoryStore
from holdfast.secrets.watched import OUTCOMES, WatchedStore


@pytest.fixture
def told():
    return []


@pytest.fixture
def store(told):
    return WatchedStore(MemoryStore(SystemClock().wall_ms), told.append, who="me")


def test_each_call_is_told(store, told):
    store.put("a", Secret(b"planted"))
    store.put("a", Secret(b"planted"), label="pending", expect=1)
    store.get("a")
    store.names()
    store.history("a")
    store.label("a", "current", 2)
    store.delete("a", version=1)
    store.undelete("a", version=1)
    store.destroy("a")
    store.close()
    assert [one.action for one in told] == ["write", "write", "read", "list", "list", "label", "delete", "undelete",
                                            "destroy"]
    assert {(one.outcome, one.who, one.scheme) for one in told} == {("done", "me", "memory")}
    assert all(one.seconds >= 0 for one in told)
    assert "planted" not in repr(told)


@pytest.mark.parametrize("kind", [*(kind for kind, _ in OUTCOMES), errors.ConfigurationError], ids=lambda k: k.__name__)
def test_each_error_has_its_outcome_and_goes_on(store, told, kind):
    def get(*_, **__):
        raise kind("a cannot be had")

    store._store.get = get
    with pytest.raises(kind):
        store.get("a")
    assert told[-1].outcome == dict(OUTCOMES).get(kind, "refused")
    assert [type(one).__name__ for one in told[:-1]] == ["SecretsDamageFound"] * (kind is errors.SecretsDamaged)
