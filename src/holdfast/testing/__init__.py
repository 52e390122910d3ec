# SPDX-License-Identifier: Apache-2.0
"""The fault kit: what our own tests hurt Holdfast with, for the tests of those who use it.

::

    from holdfast.testing import ManualClock, Proxy, Sentinel, Single, Worker, points, wait_until

    with Single("valkey") as server, Proxy(server.address) as proxy:
        trap = proxy.eat_reply(to=b"XREADGROUP")      # the server hands out, nobody receives
        ...
        server.kill()
        server.restart()

``pytest_plugin`` has all this as fixtures. ``Fates`` gathers what became of each message of a test of yours. Two judges
of what a run recorded: ``check`` of every message's fate, and ``check_linearizable`` of what a lock answered to
overlapping calls::

    verdict = check_linearizable(operations, FencedMutex())
    assert verdict.ok, verdict.explain()

And the world before it was run: ``explore`` looks at every state that a small model can reach, and shows the shortest
way to one that must not be::

    found = explore([start], moves, {"one holds it": one_holds_it})
    assert found.ok, found.explain()

Servers are real and need their binaries (``ServerMissing`` says which); nothing outlives the process that started it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .explore import Exploration, Step, TooManyStates, explore  # at once: the file has the function's name

if TYPE_CHECKING:
    from . import points
    from .binaries import Binary, ServerMissing, find_server
    from .clock import FakeChance, ManualClock
    from .cluster import Cluster
    from .fates import Fates
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

_WHERE = {
    "Binary": "binaries", "Cluster": "cluster", "FakeChance": "clock", "Fates": "fates",
    "FencedMutex": "lock_models",
    "Linearization": "linearize", "ManualClock": "clock", "Model": "linearize", "Mutex": "lock_models",
    "NotReached": "waiting", "Operation": "linearize", "Proxy": "proxy", "ReadWriteLock": "lock_models",
    "Record": "history", "ReentrantMutex": "lock_models", "Replicated": "replicated", "SearchTooLong": "linearize",
    "Semaphore": "lock_models", "Sentinel": "sentinel", "ServerMissing": "binaries", "Single": "single",
    "UdpProxy": "udp", "Verdict": "history", "Way": "pipe", "Worker": "processes", "check": "history",
    "check_linearizable": "linearize", "find_server": "binaries", "wait_until": "waiting",
    "wait_until_async": "waiting",
}

__all__ = [
    "Binary",
    "Cluster",
    "Exploration",
    "FakeChance",
    "Fates",
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


def __getattr__(name: str) -> Any:
    """Opened when first asked for: pytest loads our plug-in wherever Holdfast is installed, and mostly for nothing."""
    from importlib import import_module

    if name == "points":
        return import_module(".points", __name__)
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f".{_WHERE[name]}", __name__), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
