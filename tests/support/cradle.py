# SPDX-License-Identifier: Apache-2.0
"""The program behind ``nursery``: a Python that has imported what workers import, and forks one when asked to.

It has one thread and no loop, and nothing of the library is at work in it: what a child finds is what it would have
imported itself. Each child leads a session of its own and runs its script or module as ``__main__``; it ends as any
interpreter ends. Requests and answers are datagrams on the socket whose number is the first argument.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

REQUEST_BYTES_MAX = 1 << 20
#: Imported late by the library, that is by the workers: see ``sys.modules`` of one that has run.
LIBRARIES = ("aiosqlite", "hiredis", "httpx2", "kazoo.client", "kazoo.security", "psycopg", "pymysql", "redis.asyncio",
             "redis.asyncio.cluster", "redis.asyncio.sentinel", "sqlalchemy.dialects.sqlite.aiosqlite",
             "sqlalchemy.dialects.postgresql.psycopg", "sqlalchemy.ext.asyncio", "sqlalchemy.orm",
             "sqlalchemy.dialects.mysql.pymysql")
#: Their imports are what is wanted: they themselves are run afresh by each child.
WORKERS = ("tests.faults.ids_worker", "tests.faults.workers.careful", "tests.faults.workers.consumer",
           "tests.faults.workers.domain", "tests.faults.workers.letter_bank", "tests.faults.workers.locker",
           "tests.faults.workers.relay", "tests.faults.workers.replayer")


def prepare() -> None:
    """Imports, and forgets what is of the tests. What is not installed is left to the child that wants it."""
    for name in (*WORKERS, *LIBRARIES, *commands()):
        with suppress(ImportError):
            importlib.import_module(name)
    for name in [name for name in sys.modules if name == "tests" or name.startswith("tests.")]:
        del sys.modules[name]
    gc.collect()
    gc.freeze()  # the collector would write to every page that children share


def commands() -> list[str]:
    """The command line's own modules, which it imports as they are asked for."""
    import holdfast.cli

    return [found.name for found in pkgutil.iter_modules(holdfast.cli.__path__, "holdfast.cli.")
            if not found.name.endswith("__main__")]


def serve(line: socket.socket) -> dict[str, Any] | None:
    """Forks until the line is closed. In a child: what it is to run."""
    woken, wake = os.pipe()
    os.set_blocking(woken, False)
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    while True:
        ready, _, _ = select.select([line, woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
            bury(line)
        if line not in ready:
            continue
        raw, fds, _, _ = socket.recv_fds(line, REQUEST_BYTES_MAX, 2)
        if not raw:
            return None
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for fd in (woken, wake, line.detach()):
                os.close(fd)
            task: dict[str, Any] = json.loads(raw)
            become(task, *fds)
            return task
        for fd in fds:
            os.close(fd)
        line.send(json.dumps({"born": pid}).encode())


def bury(line: socket.socket) -> None:
    """Says of what the dead children died."""
    with suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            line.send(json.dumps({"dead": ended[0], "code": os.waitstatus_to_exitcode(ended[1])}).encode())


def become(task: dict[str, Any], out: int, err: int) -> None:
    """In a child: the process that was asked for, but for what it runs."""
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, fd in ((1, out), (2, err)):
        os.dup2(fd, number)
        os.close(fd)
    os.environ.clear()
    os.environ.update(task["env"])
    if task["cwd"]:
        os.chdir(task["cwd"])


def run(task: dict[str, Any]) -> None:
    """As ``python FILE ARGS`` or ``python -m MODULE ARGS``."""
    if task["module"]:
        sys.argv, sys.path[0] = ["-m", *task["args"]], task["cwd"] or str(Path.cwd())
        runpy._run_module_as_main(task["module"])
    else:
        sys.argv = [task["file"], *task["args"]]
        sys.path.insert(0, str(Path(task["file"]).parent))
        runpy.run_path(task["file"], run_name="__main__")


if __name__ == "__main__":
    prepare()
    if (mine := serve(socket.socket(fileno=int(sys.argv[1])))) is not None:
        run(mine)
