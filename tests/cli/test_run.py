# SPDX-License-Identifier: Apache-2.0
"""``holdfast run``: found, started, replaced, reloaded, watched and ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest

from holdfast._redis.keys import GroupKeys
from holdfast.testing.ports import free_port
from holdfast.testing.waiting import NotReached, wait_until
from tests.cli.conftest import COMMAND, environment

GROUP = "billing"
MODULE = """
import asyncio, os
from holdfast import Holdfast, StreamSettings
hf = Holdfast({url!r}, settings=StreamSettings(lease_ms=2000, sweep_ms=200, block_ms=200))
other = 7

@hf.consumer({stream!r}, group="billing")
async def bill(order: dict) -> None:
    with open("handled", "a") as log:
        log.write(f"{{os.getpid()}} {{order['n']}} {word}\\n")
    await asyncio.sleep(order.get("sleep", 0))
"""


class Running:
    """A started ``holdfast run`` in a folder with a module ``billing``."""

    def __init__(self, folder: Path, backend, stream: str) -> None:
        self.folder, self.backend, self.stream = folder, backend, stream
        self.process: subprocess.Popen[bytes] | None = None
        self.write()

    def write(self, word: str = "first") -> None:
        (self.folder / "billing.py").write_text(MODULE.format(url=self.backend.url, stream=self.stream, word=word))

    def start(self, *args: object, app: str = "billing:hf") -> None:
        with (self.folder / "err").open("wb") as err:
            self.process = subprocess.Popen([*COMMAND, "run", app, *map(str, args)], cwd=self.folder, stderr=err,
                                            env=environment(), stdin=subprocess.DEVNULL, start_new_session=True)

    def end(self, number: int = signal.SIGTERM, deadline_s: float = 30) -> int:
        self.process.send_signal(number)
        return self.process.wait(deadline_s)

    @property
    def err(self) -> str:
        return (self.folder / "err").read_text()

    def publish(self, n: int, **more: object) -> None:
        self.backend.admin.xadd(self.stream, {"body": json.dumps({"n": n, **more})})

    def handled(self) -> list[list[str]]:
        path = self.folder / "handled"
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    def workers(self) -> set[int]:
        """Process ids of the children."""
        return {child.pid for child in psutil.Process(self.process.pid).children()}

    def leases(self) -> int:
        return int(self.backend.admin.zcard(GroupKeys("hf", self.stream, GROUP).leases))

    def until(self, met, what: str, deadline_s: float = 30) -> None:
        try:
            wait_until(met, deadline_s, what)
        except NotReached as error:
            raise AssertionError(f"{error}\nit said:\n{self.err}") from error


@pytest.fixture
def running(backend, stream, tmp_path):
    made = Running(tmp_path, backend, stream)
    yield made
    if made.process is not None and made.process.poll() is None:
        made.process.kill()
        made.process.wait(10)


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except (ConnectionError, urllib.error.URLError):
        return 0, ""


@pytest.mark.parametrize(("app", "advice"), [
    ("nonsense:hf", "there is no module 'nonsense' in "), ("billing:nope", "the Holdfasts in it: hf"),
    ("billing:other", "is a int, not a Holdfast"), ("billing", "names no Holdfast: write module:name"),
])
@pytest.mark.parametrize("more", [(), ("--processes", 2)], ids=["alone", "two"])
def test_what_cannot_be_run_is_2_and_says_why(running, app, advice, more):
    running.start(*more, app=app)
    assert running.process.wait(30) == 2
    assert advice in running.err
    assert "Traceback" not in running.err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("processes", [1, 2])
def test_a_signal_ends_it_when_running_handlers_have_finished(running, number, processes):
    running.start("--processes", processes)
    running.until(lambda: running.leases() == processes, "all have joined")
    running.publish(1, sleep=0.5)
    running.until(running.handled, "it is at work")
    assert running.end(number) == 0
    assert running.backend.admin.xlen(running.stream) == 0, "the running handler finished and was settled"
    assert running.leases() == 0


@pytest.mark.parametrize("kind", ["async", "plain"])
def test_a_second_ctrl_c_ends_it_at_once(running, kind):
    """Also beside a thread, which nobody can cancel."""
    if kind == "plain":
        module = running.folder / "billing.py"
        module.write_text(module.read_text().replace("async def bill", "def bill")
                          .replace("await asyncio.sleep", "__import__('time').sleep"))
    running.start("--drain", "60s")
    running.until(lambda: running.leases() == 1, "it has joined")
    running.publish(1, sleep=50)
    running.until(running.handled, "it is at work")
    running.process.send_signal(signal.SIGINT)
    running.until(lambda: "stopping" in running.err, "it heard the first one")
    assert running.end(signal.SIGINT) == 130
    assert running.backend.admin.xpending(running.stream, GROUP)["pending"] == 1, "it stays pending, for others"


def test_a_worker_that_dies_is_replaced(running):
    running.start("--processes", 2)
    running.until(lambda: running.leases() == 2, "both have joined")
    before = running.workers()
    victim = min(before)
    os.kill(victim, signal.SIGKILL)
    running.until(lambda: len(running.workers()) == 2 and victim not in running.workers(), "another one is there")
    assert before - {victim} <= running.workers(), "the other one was left alone"
    assert "was killed by SIGKILL" in running.err
    assert running.end() == 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP])
def test_workers_end_in_good_order_when_the_supervisor_dies(running, number):
    running.start("--processes", 2)
    running.until(lambda: running.leases() == 2, "both have joined")
    running.end(number)
    # A lease that is given up, rather than one that runs out, is the sign of an orderly end.
    running.until(lambda: running.leases() == 0, "both gave up their leases")
    running.until(lambda: running.err.count("consumer_stopped") == 2, "both said that they ended")


def test_a_worker_that_always_dies_at_its_start_ends_the_run(running):
    (running.folder / "billing.py").write_text("import os\nos._exit(5)\n")
    running.start("--processes", 2)
    assert running.process.wait(60) == 1
    assert running.err.rstrip().splitlines()[-1].startswith("error: worker ")
    assert "times in a row within 5 s of its start: giving up" in running.err


def test_a_change_of_the_source_starts_it_anew(running):
    running.start("--reload")
    running.until(lambda: running.leases() == 1, "it has joined")
    (before,) = running.workers()
    running.write("second")
    running.until(lambda: before not in running.workers() and running.leases() == 1, "another one is there")
    running.publish(1)
    running.until(running.handled, "it was handled")
    assert running.handled()[0][2] == "second"
    (running.folder / "billing.py").write_text("this is no Python (")
    running.until(lambda: "waiting for a change of the source" in running.err, "it waits to be mended")
    running.write("third")
    running.until(lambda: running.leases() == 1, "it is back")
    assert running.end() == 0


@pytest.mark.parametrize("processes", [1, 2])
def test_health_follows_the_server_and_metrics_add_up(running, processes):
    pytest.importorskip("prometheus_client")
    if running.backend.kind in ("cluster", "sentinel"):
        pytest.skip("pausing one server is enough")
    port = free_port()
    running.start("--processes", processes, "--health", f"127.0.0.1:{port}")
    running.until(lambda: get(port, "/ready")[0] == 200, "it is ready")
    assert get(port, "/live") == (200, "ok\n")
    assert get(port, "/nonsense")[0] == 404
    for n in range(6):
        running.publish(n)
    running.until(lambda: len(running.handled()) == 6, "all are handled")
    running.until(lambda: 'holdfast_settled_total{group="billing"' in get(port, "/metrics")[1]
                  or "holdfast_" in get(port, "/metrics")[1], "metrics are there")
    running.backend.server.pause()
    try:
        running.until(lambda: get(port, "/ready")[0] == 503, "it says that it is not ready")
        status, body = get(port, "/ready")
        assert (status, json.loads(body)["ready"]) == (503, False)
        assert GROUP in body
        assert get(port, "/live")[0] == 200, "a restart would not help"
    finally:
        running.backend.server.resume()
    running.until(lambda: get(port, "/ready")[0] == 200, "it is ready again")
    assert running.end() == 0


def test_an_address_that_is_taken_is_2(running):
    pytest.importorskip("prometheus_client")
    port = free_port()
    running.start("--health", f"127.0.0.1:{port}")
    running.until(lambda: get(port, "/live")[0] == 200, "it serves")
    other = subprocess.run([*COMMAND, "run", "billing:hf", "--health", f"127.0.0.1:{port}"], cwd=running.folder,
                           env=environment(), capture_output=True, text=True, timeout=30, check=False)
    assert other.returncode == 2
    assert f"error: --health: cannot listen on 127.0.0.1:{port}" in other.stderr


def test_the_command_line_goes_over_the_module_and_the_environment_does_not(running):
    dead, port = f"redis://127.0.0.1:{free_port()}", running.backend.url
    module = running.folder / "billing.py"
    module.write_text(module.read_text().replace(repr(port), repr(dead)))
    elsewhere = subprocess.run([*COMMAND, "run", "billing:hf"], env=environment(HOLDFAST_URL=port), cwd=running.folder,
                               capture_output=True, timeout=30, check=False)
    assert elsewhere.returncode == 3
    running.start("--url", port)
    running.until(lambda: running.leases() == 1, "it has joined where the command line says")
    assert running.end() == 0


def test_limits_from_a_file_hold_and_a_wrong_file_is_2(running):
    (running.folder / "limits.toml").write_text("[limits]\nconcurency = 1\n")
    running.start("--limits", "limits.toml")
    assert running.process.wait(30) == 2
    assert "did you mean 'concurrency'?" in running.err
    (running.folder / "limits.toml").write_text("[limits]\nconcurrency = 1\n")
    running.start("--limits", "limits.toml")
    running.until(lambda: running.leases() == 1, "it has joined")
    for n in range(3):
        running.publish(n, sleep=1.0)
    running.until(running.handled, "the first one runs")
    with pytest.raises(NotReached, match="a second one beside it"):
        wait_until(lambda: len(running.handled()) > 1, 0.5, "a second one beside it")
    assert running.end() == 0
