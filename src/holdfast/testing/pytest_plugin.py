# SPDX-License-Identifier: Apache-2.0
"""Fixtures for the tests of those who use Holdfast. pytest loads them by itself where Holdfast is installed.

``holdfast_server``   the URL of a real, empty server of the test's own process; its data is the test's
``manual_clock``      a clock that moves when told

::

    def test_an_order_is_billed(holdfast_server):
        hf = Holdfast(holdfast_server)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .clock import ManualClock
    from .single import Single


@pytest.fixture(scope="session")
def _holdfast_server() -> Iterator[Single]:
    from .binaries import ServerMissing
    from .single import Single

    try:
        server = Single("valkey").start()
    except ServerMissing as missing:
        pytest.skip(str(missing))
    yield server
    server.close()


@pytest.fixture
def holdfast_server(_holdfast_server: Single) -> str:
    """URL of an embedded server, emptied for this test. Started once a session (0.1 s); skips when not installed."""
    if _holdfast_server.paused:
        _holdfast_server.resume()
    _holdfast_server.start()
    _holdfast_server.admin.flushall()
    return _holdfast_server.url


@pytest.fixture
def manual_clock() -> ManualClock:
    """A ``ManualClock``: ``advance(seconds)`` lets time pass, ``step_wall(ms)`` moves the wall clock alone."""
    from .clock import ManualClock

    return ManualClock()
