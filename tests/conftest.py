# SPDX-License-Identifier: Apache-2.0
"""What every test may ask for.

``backend``     a running server, empty; the test runs once for each kind of ``--servers`` (default: valkey; marked
                ``everywhere``, all of them)
``stream``      a stream name nobody else uses
``postgres``    a running PostgreSQL, and ``mariadb``: each test has a database of its own there
``etcd``        a running etcd, ``zookeeper`` and ``rabbitmq``: each test has names of its own there, and hurts one of
                its own
``kafka``       librdkafka's mock cluster, in this process
``arun``        runs a coroutine, within a minute
``rng, seed``   chance that ``--seed`` repeats
``data_dir``    the folder of sample data

A server or a file that is missing skips the test and says why; with ``CI=true`` it fails it.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import secrets
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import hypothesis  # before _settle: it asks the collector who refers to what, and that knows no more of it
import pytest

from holdfast._kafka.mock import MockCluster
from holdfast.testing.binaries import ServerMissing
from holdfast.testing.etcd import EtcdServer
from holdfast.testing.rabbitmq import RabbitServer
from holdfast.testing.watchdog import watchdog
from holdfast.testing.zookeeper import ZooKeeperServer
from tests.contract.lock_matrix import LOCKS
from tests.contract.matrix import Matrix
from tests.contract.worker_id_matrix import WORKER_IDS
from tests.integration.sql.servers import MariaDb, Postgres
from tests.support.again import Plugin as Again
from tests.support.backend import KINDS, Backend, Pool, versions
from tests.support.leaks import Plugin as Leaks
from tests.support.pace import in_turn

T = TypeVar("T")

# Whatever else the machine does: how long one example takes says nothing. Claims about time have tests of their own.
hypothesis.settings.register_profile("holdfast", hypothesis.settings(), deadline=None)
hypothesis.settings.load_profile("holdfast")

#: A coroutine under test that takes longer than this hangs.
ARUN_S = 60.0

#: Files whose tests run on every kind of server: what they claim depends on how servers differ.
EVERYWHERE = ("integration/test_protocol_*.py", "integration/test_backends_*.py", "integration/test_deadletters.py",
              "integration/test_byhand.py", "contract/test_broker.py")

#: Says that the built wheel is under test; read by tests/house when it is collected.
_WHEEL = "HOLDFAST_WHEEL"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("holdfast tests")
    group.addoption("--servers", default=None, help=f"kinds for the backend fixture: {','.join(KINDS)}, or all "
                    "(default: valkey, and all for tests marked everywhere)")
    group.addoption("--seed", type=int, default=None, help="repeats the chances of an earlier run")
    group.addoption("--data", default=None, help="folder of sample data (default: HOLDFAST_DATA, ../shared/data)")
    group.addoption("--uvloop", action="store_true", help="coroutines run on uvloop")


def pytest_configure(config: pytest.Config) -> None:
    # Workers of pytest-xdist are handed the options of their controller, whose environment is stripped by then.
    if config.option.seed is None:
        config.option.seed = secrets.randbits(32)
    if config.option.data is None:
        config.option.data = os.environ.get("HOLDFAST_DATA", str(Path(__file__).parents[2] / "shared" / "data"))
    config.addinivalue_line("markers", "kinds(*names): the kinds of server this test is about; others are left out")
    config.addinivalue_line("markers", "needs(*abilities): what a broker has to declare for this claim")
    config.addinivalue_line("markers", "everywhere: runs on every kind of server unless --servers names some")
    for battery in (LOCKS, WORKER_IDS):
        config.pluginmanager.register(Matrix(battery), f"holdfast-{battery.kept}")
    config.pluginmanager.register(Leaks(), "holdfast-leaks")
    config.pluginmanager.register(Again(), "holdfast-again")
    # A developer's own settings must not decide a test: the command line reads them.
    for name in [name for name in os.environ if name.startswith("HOLDFAST_") and name != _WHEEL]:
        del os.environ[name]


def pytest_report_header(config: pytest.Config) -> list[str]:
    return [f"servers: {'; '.join(versions(_kinds(config)))}", f"seed: {config.option.seed} (--seed repeats it)"]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):  # of pytest-xdist, with --no-loadscope-reorder
        turns = {path: turn for turn, path in enumerate(in_turn(item.path for item in items))}
        items.sort(key=lambda item: turns[item.path])


def pytest_collection_finish() -> None:
    _settle()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    try:
        return (yield)
    finally:
        if nextitem is None or nextitem.path != item.path:
            _settle()


def _settle() -> None:
    """What is there stays until the end: thousands of tests, and reports of those that ran. The collector would look at
    all of it each time, which takes seconds."""
    gc.collect()
    gc.freeze()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "backend" in metafunc.fixturenames:
        mark = metafunc.definition.get_closest_marker("kinds")
        everywhere = metafunc.definition.get_closest_marker("everywhere") is not None or _speaks_of_servers(
            metafunc.definition.path)
        kinds = [kind for kind in _kinds(metafunc.config, everywhere) if mark is None or kind in mark.args]
        metafunc.parametrize("backend", kinds, indirect=True)


def _speaks_of_servers(path: Path) -> bool:
    """Is this file among those that run on every kind of server as a whole?"""
    return any(path.match(pattern) for pattern in EVERYWHERE)


def _kinds(config: pytest.Config, everywhere: bool = True) -> list[str]:
    asked = str(config.option.servers or ("all" if everywhere else "valkey")).split(",")
    if asked == ["all"]:
        return list(KINDS)
    if unknown := set(asked) - set(KINDS):
        raise pytest.UsageError(f"--servers: unknown {', '.join(sorted(unknown))}; one of {', '.join(KINDS)}, or all")
    return asked


def missing(reason: str) -> None:
    """Ends the test: skipped on a laptop, failed where everything was promised to be there."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    try:
        return (yield)
    except ServerMissing as error:
        missing(str(error))


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: Any, request: pytest.FixtureRequest) -> Iterator[None]:
    try:
        return (yield)
    except ServerMissing as error:
        missing(str(error))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[pytest.TestReport]:
    report = yield
    if report.failed and "seed" in getattr(item, "fixturenames", ()):
        report.sections.append(("chance", f"--seed={item.config.option.seed}"))
    return report


@pytest.fixture(scope="session", autouse=True)
def _nothing_stays(tmp_path_factory: pytest.TempPathFactory) -> None:
    """An embedded server outlives its users when they are all killed, as tests do. It ends with the tests, however they
    end."""
    watchdog.sweep(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def _pool() -> Iterator[Pool]:
    pool = Pool()
    yield pool
    pool.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A running PostgreSQL; ``postgres.database()`` is an empty one of its databases. Hurt one of your own instead."""
    server = Postgres()
    yield server
    server.close()


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDb]:
    """The same, a MariaDB."""
    server = MariaDb()
    yield server
    server.close()


@pytest.fixture(scope="session")
def etcd() -> Iterator[EtcdServer]:
    """A running etcd. What a test hurts is a server of its own, or a proxy before this one."""
    with EtcdServer() as server:
        yield server


@pytest.fixture(scope="session")
def zookeeper() -> Iterator[ZooKeeperServer]:
    """The same, a ZooKeeper. It grants the ttl that is asked for: with its own bound, 4 s, a long session would end
    with a pause of the machine, and its calls would wait for a third of that."""
    with ZooKeeperServer(ttl_s_max=60.0) as server:
        yield server


@pytest.fixture
def kafka() -> Iterator[MockCluster]:
    """librdkafka's mock cluster, in this process: a fresh one, since a group that was there before is slow to come."""
    with MockCluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[RabbitServer]:
    """The same, a RabbitMQ."""
    with RabbitServer() as server:
        yield server


@pytest.fixture
def backend(request: pytest.FixtureRequest, _pool: Pool) -> Backend:
    """A server of each kind asked for, running and empty: ``url``, ``kind``, ``flavour``, ``admin``, ``masters``."""
    return _pool.get(request.param)


@pytest.fixture
def stream() -> str:
    """A stream name of this test alone."""
    return f"orders-{secrets.token_hex(4)}"


@pytest.fixture
def arun(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, T]], T]:
    """Runs a coroutine on a fresh event loop and returns its value; one that takes a minute fails."""
    factory = None
    if request.config.option.uvloop:
        import uvloop

        factory = uvloop.new_event_loop

    async def bounded(coroutine: Coroutine[Any, Any, T]) -> T:
        async with asyncio.timeout(ARUN_S):
            return await coroutine

    def run(coroutine: Coroutine[Any, Any, T]) -> T:
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(bounded(coroutine))

    return run


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> str:
    """Of the run and of this test: one test run alone meets the same chances as among others."""
    return f"{request.config.option.seed}:{request.node.nodeid}"


@pytest.fixture
def rng(seed: str) -> random.Random:
    return random.Random(seed)


@pytest.fixture(scope="session")
def data_dir(request: pytest.FixtureRequest) -> Path:
    """The folder of sample data: ``--data``, else HOLDFAST_DATA, else ``shared/data`` beside the checkout."""
    folder = Path(request.config.option.data)
    if not folder.is_dir():
        missing(f"no sample data at {folder}: name the folder with traces/ and logs/ by --data or HOLDFAST_DATA")
    return folder
