# SPDX-License-Identifier: Apache-2.0
"""An authority for all, and a server with a store in memory."""

from __future__ import annotations

import pytest

from holdfast.secrets.memory import MemoryStore
from holdfast.testing.certificates import Authority
from tests.integration.secrets.serve.town import CLOCK, serving


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"), "Town")


@pytest.fixture
def kept():
    return MemoryStore(CLOCK.wall_ms)


@pytest.fixture
def place(tmp_path, authority, kept):
    with serving(tmp_path / "server", authority, kept) as made:
        yield made
