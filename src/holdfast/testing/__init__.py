# SPDX-License-Identifier: Apache-2.0
"""The fault kit: what our own tests hurt Holdfast with, for the tests of those who use it.

::

    from holdfast.testing import ManualClock, Proxy, Sentinel, Single, Worker, points, wait_until

    with Single("valkey") as server, Proxy(server.address) as proxy:
        trap = proxy.eat_reply(to=b"XREADGROUP")      # the server hands out, nobody receives
        ...
        server.kill()
        server.restart()

Servers are real and need their binaries (``ServerMissing`` says which); nothing outlives the process that started it.
"""

from __future__ import annotations

from . import points
from .binaries import Binary, ServerMissing, find_server
from .clock import FakeChance, ManualClock
from .cluster import Cluster
from .history import Record, Verdict, check
from .pipe import Way
from .processes import Worker
from .proxy import Proxy
from .replicated import Replicated
from .sentinel import Sentinel
from .single import Single
from .udp import UdpProxy
from .waiting import NotReached, wait_until, wait_until_async

__all__ = [
    "Binary",
    "Cluster",
    "FakeChance",
    "ManualClock",
    "NotReached",
    "Proxy",
    "Record",
    "Replicated",
    "Sentinel",
    "ServerMissing",
    "Single",
    "UdpProxy",
    "Verdict",
    "Way",
    "Worker",
    "check",
    "find_server",
    "points",
    "wait_until",
    "wait_until_async",
]
