# SPDX-License-Identifier: Apache-2.0
"""A PostgreSQL server that asks for passwords: the shared one lets everybody in."""

from __future__ import annotations

import pytest

from tests.support.password_postgres import PasswordPostgres


@pytest.fixture(scope="module")
def guarded():
    """Running, with a role ``app`` that owns what it makes, and the users ``app_a`` and ``app_b`` in it."""
    server = PasswordPostgres()
    yield server
    server.close()
