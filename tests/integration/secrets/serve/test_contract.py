# SPDX-License-Identifier: Apache-2.0
"""A store on a server keeps to the contract like any other."""

from __future__ import annotations

import pytest

from tests.contract.secret_benches import Bench, planted
from tests.contract.test_secret_store import *  # noqa: F403 - the contract's claims, on the bench below


@pytest.fixture
def bench(place, kept):
    with place.client("all") as client:
        yield Bench(client, planted(client), lambda: kept.destroy("db/password"))
