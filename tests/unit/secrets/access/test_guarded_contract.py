# SPDX-License-Identifier: Apache-2.0
"""A guarded store keeps to the contract like any other, when all is allowed."""

from __future__ import annotations

import pytest

from holdfast.secrets.access import Guarded, Holder, policy_of
from holdfast.secrets.memory import MemoryStore
from tests.contract.secret_benches import Bench, planted
from tests.contract.test_secret_store import *  # noqa: F403 - the contract's claims, on the bench below


@pytest.fixture
def bench(opened, clock):
    store = MemoryStore(clock.wall_ms)
    all_of_it = policy_of({"version": 1, "roles": {"all": [{"paths": ["**"], "actions": ["*"]}]}})
    guarded = Guarded(store, Holder("me", frozenset({"all"})), all_of_it, opened(), clock)
    return Bench(guarded, planted(guarded), lambda: store.destroy("db/password"))
