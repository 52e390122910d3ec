# SPDX-License-Identifier: Apache-2.0
"""Nothing outlives the tests: a small process that kills our children and removes their folders when we die.

A test run that is killed with SIGKILL cannot clean up after itself. Linux offers PR_SET_PDEATHSIG for that, but the
signal is sent when the *thread* that started the child ends, so a server started from a pool's thread would die in the
middle of a test; it has to be set between fork and exec, which is unsafe beside threads; and macOS lacks it. So one
watchdog process per interpreter reads a pipe: each line names a pid to guard and the folder that goes with it. The
pipe's end, which the kernel closes however we die, is the signal.

It holds a pidfd for each process where the system has them, so that a pid that was given away again is never killed.
It leads a session of its own: Ctrl-C in a terminal reaches the tests, not the one that cleans up after them.

Nobody can name a process that a child has begun and left to itself, as the embedded server is, whose users may all be
killed. It is known by where it is: on Linux, whatever works in a folder of the tests, without a terminal, ends too.
"""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, cast

# The child's whole program: it must not depend on this package, whose files a test may be moving about.
_PROGRAM = r"""
import os, select, shutil, signal, sys
guarded, swept, pidfd = {}, [], getattr(os, "pidfd_open", None)
parent = None
try:
    parent = pidfd and pidfd(int(sys.argv[1]))
except OSError:
    pass
def guard(pid, folder):
    fd = None
    try:
        fd = pidfd and pidfd(pid)
    except ProcessLookupError:
        pass
    guarded[pid] = (fd, folder)
def release(pid):
    fd, _ = guarded.pop(pid, (None, ""))
    if fd:
        os.close(fd)
def settlers():
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        try:
            at = os.readlink("/proc/%s/cwd" % name)
            with open("/proc/%s/stat" % name) as file:
                terminal = file.read().rpartition(")")[2].split()[4]
        except OSError:
            continue
        if terminal == "0" and any((at + "/").startswith(folder + "/") for folder in swept):
            yield int(name)
buffer = b""
while True:
    ready = select.select([0] + ([parent] if parent else []), [], [])[0]
    if 0 not in ready:
        break  # the parent is gone although a forked child of it still holds the pipe
    chunk = os.read(0, 65536)
    if not chunk:
        break
    *lines, buffer = (buffer + chunk).split(b"\n")
    for line in lines:
        verb, pid, folder = line.decode().split("\t")
        if verb == "~":
            swept.append(folder)
        else:
            guard(int(pid), folder) if verb == "+" else release(int(pid))
for pid, (fd, folder) in guarded.items():
    try:
        if fd:
            signal.pidfd_send_signal(fd, signal.SIGKILL)
        elif not pidfd:
            os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
for pid in settlers() if swept else ():
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
for pid, (fd, folder) in guarded.items():
    if fd:
        select.select([fd], [], [], 5)  # a server that still writes would fill its folder again
    if folder:
        shutil.rmtree(folder, ignore_errors=True)
"""


class Watchdog:
    """Started with the first process it is told of."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def guard(self, pid: int, folder: Path | None = None) -> None:
        """From now on ``pid`` is killed and ``folder`` removed should this process die."""
        self._say("+", pid, str(folder or ""))

    def release(self, pid: int) -> None:
        """``pid`` was reaped: it may belong to somebody else from now on."""
        self._say("-", pid, "")

    def sweep(self, folder: Path) -> None:
        """Whatever works in ``folder`` then, or below, is killed when this process ends, by itself or not."""
        self._say("~", 0, str(folder.resolve()))  # guard: what was left to itself ends with the tests

    def _say(self, verb: str, pid: int, folder: str) -> None:
        with self._lock:
            if self._process is None:
                self._process = _start()
            pipe = cast("IO[bytes]", self._process.stdin)
            pipe.write(f"{verb}\t{pid}\t{folder}\n".encode())
            pipe.flush()

    def forget(self) -> None:
        """In a forked child: its own processes get a watchdog of their own; the parent's pipe is closed here."""
        inherited, self._lock = self._process, threading.Lock()
        self._process = None
        if inherited is not None and inherited.stdin is not None:
            inherited.stdin.close()
            inherited.returncode = 0  # not our child: never wait for it

    def close(self) -> None:
        """At an orderly exit: what is still guarded is killed now."""
        with self._lock:
            process, self._process = self._process, None
        if process is not None and process.stdin is not None:
            process.stdin.close()
            process.wait(10)


def _start() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _PROGRAM, str(os.getpid())],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        cwd="/",
    )


watchdog = Watchdog()
atexit.register(watchdog.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=watchdog.forget)
