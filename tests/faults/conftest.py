# SPDX-License-Identifier: Apache-2.0
"""Servers that a fault test may ask for by name, started once."""

from __future__ import annotations

import pytest

from tests.support.backend import Pool


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest) -> Pool:
    """The servers behind ``backend``: ``servers.get(kind)`` is one of them, running and empty."""
    pool: Pool = request.getfixturevalue("_pool")
    return pool
