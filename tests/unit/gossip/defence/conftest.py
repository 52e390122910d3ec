# SPDX-License-Identifier: Apache-2.0
"""Who signs in these tests."""

from __future__ import annotations

import pytest

from tests.unit.gossip.defence.signers import Signers


@pytest.fixture
def signers():
    return Signers()
