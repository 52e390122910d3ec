# SPDX-License-Identifier: Apache-2.0
"""The fault kit: what our own tests hurt Holdfast with, for the tests of those who use it.

::

    from holdfast.testing import ManualClock, Proxy, Sentinel, Single, Worker, points, wait_until

    with Single("valkey") as server, Proxy(server.address) as proxy:
        trap = proxy.eat_reply(to=b"XREADGROUP")      # the server hands out, nobody receives
        ...
        server.kill()
        server.restart()

And two judges of what a run recorded: ``check`` of every message's fate, and ``check_linearizable`` of what a lock
answered to overlapping calls::

    verdict = check_linearizable(operations, FencedMutex())
    assert verdict.ok, verdict.explain()

And the world before it was run: ``explore`` looks at every state that a small model can reach, and shows the shortest
way to one that must not be::

    found = explore([start], moves, {"one holds it": one_holds_it})
    assert found.ok, found.explain()

Servers are real and need their binaries (``ServerMissing`` says which); nothing outlives the process that started it.
"""

from __future__ import annotations

from . import points
from .binaries import Binary, ServerMissing, find_server
from .clock import FakeChance, ManualClock
from .cluster import Cluster
from .explore import Exploration, Step, TooManyStates, explore
from .history import Record, Verdict, check
from .linearize import Linearization, Model, Operation, SearchTooLong, check_linearizable
from .lock_models import FencedMutex, Mutex, ReadWriteLock, ReentrantMutex, Semaphore
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
    "Exploration",
    "FakeChance",
    "FencedMutex",
    "Linearization",
    "ManualClock",
    "Model",
    "Mutex",
    "NotReached",
    "Operation",
    "Proxy",
    "ReadWriteLock",
    "Record",
    "ReentrantMutex",
    "Replicated",
    "SearchTooLong",
    "Semaphore",
    "Sentinel",
    "ServerMissing",
    "Single",
    "Step",
    "TooManyStates",
    "UdpProxy",
    "Verdict",
    "Way",
    "Worker",
    "check",
    "check_linearizable",
    "explore",
    "find_server",
    "points",
    "wait_until",
    "wait_until_async",
]
