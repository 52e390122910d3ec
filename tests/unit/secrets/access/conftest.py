# SPDX-License-Identifier: Apache-2.0
"""An audit in a folder, and a store that somebody guards."""

from __future__ import annotations

import pytest

from holdfast._base.secret import Secret
from holdfast.secrets.access import AuditLog
from holdfast.testing import ManualClock

KEY = bytes(range(32))


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "audit"


@pytest.fixture
def opened(folder, clock):
    """Opens the audit, again if need be; all are closed at the end."""
    made = []

    def open_(**options):
        made.append(AuditLog(folder, Secret(KEY), clock.wall_ms, **options))
        return made[-1]

    yield open_
    for one in made:
        one.close()
