# SPDX-License-Identifier: Apache-2.0
"""Fixtures for the tests of those who use Holdfast. pytest loads them by itself where Holdfast is installed.

======================= ==========================================================================================
``holdfast_server``     URL of a real, empty server of the test's own process; its data is the test's
``holdfast_single``     that server itself: ``kill``, ``restart``, ``pause``, ``admin``
``holdfast_sentinel``   a master, replicas and three Sentinels: ``url``, ``failover``
``holdfast_cluster``    a Cluster of three masters: ``url``, ``move_slot``
``holdfast_proxy``      between the test and ``holdfast_single``: ``url``, ``eat_reply``, ``delay``, ``cut``
``holdfast_worker``     starts a service of yours in a process of its own, and kills it at a named point
``holdfast_points``     named points of this process: ``call_at``, ``record``; disarmed at the end
``holdfast_fates``      what became of each message; ``verify()`` fails the test when one was lost or applied twice
``manual_clock``        a clock that moves when told
======================= ==========================================================================================

::

    def test_an_order_is_billed(holdfast_server):
        hf = Holdfast(holdfast_server)

Servers are started when first asked for, once a session, and are mended and emptied for each test. A server that is
not installed skips the test and says what to install. ``holdfast_flavour = redis70`` in pytest's settings takes another
one. Nothing is imported before a fixture is used: whoever has Holdfast installed and tests something else pays a
millisecond.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

if TYPE_CHECKING:
    from types import ModuleType

    from .clock import ManualClock
    from .cluster import Cluster
    from .fates import Fates
    from .processes import Worker
    from .proxy import Proxy
    from .sentinel import Sentinel
    from .single import Single

T = TypeVar("T", "Single", "Sentinel", "Cluster")


def pytest_addoption(parser: pytest.Parser) -> None:
    """The settings of this plug-in."""
    parser.addini("holdfast_flavour", "server of Holdfast's fixtures: valkey, redis70 or redis62", default="valkey")


def _running(request: pytest.FixtureRequest, topology: Callable[[str], T]) -> Iterator[T]:
    """A topology of the flavour that was asked for, from here to the end; skips the test when it is not installed."""
    from .binaries import ServerMissing

    try:
        servers = topology(str(request.config.getini("holdfast_flavour"))).start()
    except ServerMissing as missing:
        pytest.skip(str(missing))
    yield servers
    servers.close()


@pytest.fixture(scope="session")
def _holdfast_single(request: pytest.FixtureRequest) -> Iterator[Single]:
    from .single import Single

    yield from _running(request, Single)


@pytest.fixture(scope="session")
def _holdfast_sentinel(request: pytest.FixtureRequest) -> Iterator[Sentinel]:
    from .sentinel import Sentinel

    yield from _running(request, Sentinel)


@pytest.fixture(scope="session")
def _holdfast_cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    from .cluster import Cluster

    yield from _running(request, Cluster)


@pytest.fixture
def holdfast_single(_holdfast_single: Single) -> Single:
    """A server of the test's own process, emptied for this test (0.1 s once a session)."""
    if _holdfast_single.paused:
        _holdfast_single.resume()
    _holdfast_single.start()
    _holdfast_single.admin.flushall()
    return _holdfast_single


@pytest.fixture
def holdfast_server(holdfast_single: Single) -> str:
    """URL of ``holdfast_single``, for tests that only need a server."""
    return holdfast_single.url


@pytest.fixture
def holdfast_sentinel(_holdfast_sentinel: Sentinel) -> Sentinel:
    """A master and replicas under three Sentinels, mended and emptied for this test (some 2 s once a session)."""
    _empty(_holdfast_sentinel)
    return _holdfast_sentinel


@pytest.fixture
def holdfast_cluster(_holdfast_cluster: Cluster) -> Cluster:
    """A Cluster, mended and emptied for this test (some 2 s once a session)."""
    _empty(_holdfast_cluster)
    return _holdfast_cluster


def _empty(servers: Sentinel | Cluster) -> None:
    servers.mend()
    for master in servers.masters:
        master.admin.flushall()


@pytest.fixture
def holdfast_proxy(holdfast_single: Single) -> Iterator[Proxy]:
    """A proxy before ``holdfast_single``: ``holdfast_proxy.through(holdfast_single.url)`` is the way through it."""
    from .proxy import Proxy

    with Proxy(holdfast_single.address) as proxy:
        yield proxy


@pytest.fixture
def holdfast_worker(request: pytest.FixtureRequest) -> Iterator[Callable[..., Worker]]:
    """Starts your service in a process of its own: ``holdfast_worker("billing:hf", url, points="handler.after:kill")``.

    app: ``module:name`` of the Holdfast, looked for in ``cwd`` (default: pytest's root). url: of the server. points: as
    ``HOLDFAST_POINTS``: ``name:kill[:nth]`` or ``name:stop[:nth]``, several with commas. lease_ms, sweep_ms: over those
    of the consumers, so that a take-over takes a second and not twelve. Returns when it runs, or with ``points`` at
    once; ``kill9``, ``stop`` and ``cont`` hurt it from outside. What still runs is killed at the end of the test.
    """
    from .points import VARIABLE
    from .processes import Worker

    running: list[Worker] = []

    def start(app: str, url: str, *, points: str = "", lease_ms: int | None = 1000, sweep_ms: int | None = 200,
              env: dict[str, str] | None = None, cwd: Any = None) -> Worker:
        words = [app, "--url", url]
        for flag, value in (("--lease-ms", lease_ms), ("--sweep-ms", sweep_ms)):
            words += [] if value is None else [flag, str(value)]
        worker = Worker.module("holdfast.testing.service", *words, cwd=cwd or request.config.rootpath,
                               env={**(env or {}), VARIABLE: points})
        running.append(worker)
        if not points:
            worker.wait_line(lambda line: line["event"] == "running")
        return worker

    yield start
    for worker in running:
        worker.close()


@pytest.fixture
def holdfast_points() -> Iterator[ModuleType]:
    """``holdfast.testing.points`` for this process, everything forgotten at the end of the test.

    ``call_at("settle.before", act)`` plants an error or a pause; ``record()`` lists what was passed. ``kill_at`` would
    kill pytest: to kill, have the service run in a process of its own (``holdfast_worker``).
    """
    from . import points

    yield points
    points.disarm()


@pytest.fixture
def holdfast_fates() -> Fates:
    """A ``Fates``: note what was published and what took effect, look at the server, ``verify()``."""
    from .fates import Fates

    return Fates()


@pytest.fixture
def manual_clock() -> ManualClock:
    """A ``ManualClock``: ``advance(seconds)`` lets time pass, ``step_wall(ms)`` moves the wall clock alone."""
    from .clock import ManualClock

    return ManualClock()
