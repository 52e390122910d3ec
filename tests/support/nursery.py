# SPDX-License-Identifier: Apache-2.0
"""Processes that are forked: tests start thousands, and each would first import the library for half a second.

::

    with Born.script(SCRIPT, url, env={"HOLDFAST_POINTS": "settle.before:kill"}) as worker: ...
    done = ran("holdfast.cli", ["streams", "ls"], env=environment(), cwd=tmp_path)

They are real processes in all else, with a pid, a session and files of their own; the death of one is nobody else's.
What they share is the memory of one ``cradle`` a test process, which has imported the library and done nothing with it.
Not for tests about how a process begins: imports, the time they take, an interpreter's own settings.
"""

from __future__ import annotations

import atexit
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from holdfast.testing import Worker, wait_until
from holdfast.testing.watchdog import watchdog

ROOT = Path(__file__).resolve().parents[2]
#: The cradle imports all that there is, on however busy a machine.
START_S = 60.0
#: Read by the loader or the interpreter when a process begins: one that is given such a variable has to begin.
AT_THE_START = ("LD_", "DYLD_", "PYTHON", "FAKETIME")


class Born(Worker):
    """A worker of a Python file or module, forked where that can be, else started as ever."""

    def _begun(self, argv: Sequence[str], *, env: Mapping[str, str] | None, cwd: Path | None, stdout: Any,
               stderr: Any) -> Any:
        told = told_by(argv)
        if told is None or not _same_start(env or {}):
            return super()._begun(argv, env=env, cwd=cwd, stdout=stdout, stderr=stderr)
        reading, writing = os.pipe()
        try:
            child = nursery.bear({**told, "env": dict(env or {}), "cwd": str(cwd or "")}, writing, stderr.fileno())
        finally:
            os.close(writing)
        child.stdout = os.fdopen(reading, "rb")
        return child

    def pause(self) -> None:
        """As ``Hurtable``, which asks the kernel about its own children only."""
        if isinstance(self.popen, subprocess.Popen):
            return super().pause()
        self.signal(signal.SIGSTOP)
        wait_until(lambda: not self.alive or _state_of(self.pid) == "T", 10, f"{self!r} has stopped", poll_s=0.001)
        self.paused = self.alive
        return None


def ran(module: str, args: Sequence[str], *, env: Mapping[str, str], cwd: Path,
        timeout_s: float = 60.0) -> subprocess.CompletedProcess[bytes]:
    """``python -m MODULE ARGS`` from its beginning to its end, as ``subprocess.run`` does it."""
    if sys.platform != "linux":
        return subprocess.run([sys.executable, "-m", module, *args], cwd=cwd, env=env, capture_output=True,
                              stdin=subprocess.DEVNULL, timeout=timeout_s, check=False)
    task = {"module": module, "file": "", "args": list(args), "env": dict(env), "cwd": str(cwd)}
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = nursery.bear(task, out.fileno(), err.fileno())
        watchdog.guard(child.pid)
        try:
            code = child.wait(timeout_s)
        finally:
            child.kill()
            child.wait(10)
            watchdog.release(child.pid)
        said, complained = (os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0) for file in (out, err))
        return subprocess.CompletedProcess([module, *args], code or 0, said, complained)


def told_by(argv: Sequence[str]) -> dict[str, Any] | None:
    """What the cradle is told about a command line; None for one that it does not do."""
    if sys.platform != "linux" or argv[0] != sys.executable:
        return None
    if argv[1] == "-m":
        return {"module": argv[2], "file": "", "args": argv[3:]}
    return None if argv[1].startswith("-") else {"module": "", "file": argv[1], "args": argv[2:]}


def _same_start(env: Mapping[str, str]) -> bool:
    """Does it begin as we did? A search path may be written in another way."""
    ours = {**os.environ, "PYTHONUNBUFFERED": "1"}
    told = {name for name in env.keys() | ours.keys() if name.startswith(AT_THE_START)} - {"PYTHONPATH"}
    return all(env.get(name) == ours.get(name) for name in told) and _searched(env) == _searched(ours)


def _searched(env: Mapping[str, str]) -> list[Path]:
    return [Path(part).resolve() for part in env.get("PYTHONPATH", "").split(os.pathsep) if part]


def _state_of(pid: int) -> str:
    """The letter by which the kernel says what it does; Z when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "Z"


class Newborn:
    """A child of the cradle, with what is used of ``subprocess.Popen``."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.stdout: IO[bytes] | None = None
        self.returncode: int | None = None
        self._over = threading.Event()

    def ended(self, code: int) -> None:
        """The cradle has buried it."""
        self.returncode = code
        self._over.set()

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int | None:
        if not self._over.wait(timeout):
            raise subprocess.TimeoutExpired([f"process {self.pid}"], timeout or 0.0)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            with suppress(ProcessLookupError):  # buried, and we are about to hear of it
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Nursery:
    """The cradle of this process, started when first needed, and which of its children live."""

    def __init__(self) -> None:
        self._asking = threading.Lock()
        self._born: queue.SimpleQueue[Newborn] = queue.SimpleQueue()
        self._living: dict[int, Newborn] = {}
        self._cradle: subprocess.Popen[bytes] | None = None
        self._line: socket.socket | None = None

    def bear(self, task: Mapping[str, Any], stdout: int, stderr: int) -> Newborn:
        """One more process. task: see ``cradle``."""
        with self._asking:
            line = self._line or self._start()
            socket.send_fds(line, [json.dumps(task).encode()], [stdout, stderr])
            return self._born.get(timeout=START_S)

    def _start(self) -> socket.socket:
        self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._cradle = subprocess.Popen([sys.executable, "-m", "tests.support.cradle", str(theirs.fileno())], cwd=ROOT,
                                        env={**os.environ, "PYTHONUNBUFFERED": "1"}, pass_fds=[theirs.fileno()],
                                        stdin=subprocess.DEVNULL, start_new_session=True)
        theirs.close()
        watchdog.guard(self._cradle.pid)
        threading.Thread(target=self._listen, args=(self._line,), name="nursery", daemon=True).start()
        atexit.register(self.close)
        return self._line

    def _listen(self, line: socket.socket) -> None:
        """In a thread: births come in the order they were asked for, and a death behind its birth."""
        while raw := line.recv(4096):
            said = json.loads(raw)
            if "born" in said:
                self._living[said["born"]] = child = Newborn(said["born"])
                self._born.put(child)
            else:
                self._living.pop(said["dead"]).ended(said["code"])

    def close(self) -> None:
        """Ends the cradle. Whoever lives on is the watchdog's."""
        if self._cradle is not None and self._line is not None:
            self._line.shutdown(socket.SHUT_RDWR)
            self._cradle.wait(10)
            watchdog.release(self._cradle.pid)


nursery = Nursery()
