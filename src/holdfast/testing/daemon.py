# SPDX-License-Identifier: Apache-2.0
"""What all servers that tests start have in common: a process in a temporary folder, on free loopback ports."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Self

from ..errors import ServerUnreachable
from .ports import HOST, free_port
from .process import Hurtable
from .waiting import NotReached, wait_until


class Daemon(ABC):
    """A server that tests start and hurt, for as long as the ``with`` block lasts.

    It keeps its folder and its ports over ``restart``, and with them what it had stored.
    """

    #: A server that does not answer by then will not.
    start_s = 10.0

    def __init__(self) -> None:
        self.port = 0
        self._process: Hurtable | None = None
        self._folder: Path | None = None

    @abstractmethod
    def _command(self) -> list[str]:
        """What starts it in ``folder`` on ``port``."""

    @abstractmethod
    def _answers(self) -> bool:
        """Is it ready? One of ``_not_yet`` counts as no."""

    def _not_yet(self) -> tuple[type[Exception], ...]:
        """What a server that still starts, loads or elects makes ``_answers`` raise."""
        return (OSError,)

    def _environment(self) -> dict[str, str]:
        """Of its process."""
        return dict(os.environ)

    def _hang_up(self) -> None:  # noqa: B027 - not every server is given a client of its own
        """Called when it ends and before it starts: connections that outlived it are of no use."""

    def _choose_ports(self) -> None:
        """Called before a start in a new folder, and again when a port was taken meanwhile."""
        self.port = free_port()

    @property
    def address(self) -> tuple[str, int]:
        """``(host, port)``, as a proxy wants it."""
        return HOST, self.port

    @property
    def folder(self) -> Path:
        """Its data and ``server.log``. Removed on leaving."""
        if self._folder is None:
            raise ServerUnreachable(f"{self!r} was not started: use it in a with statement, or call start()")
        return self._folder

    @property
    def pid(self) -> int:
        """Of the running server. Raises ``ServerUnreachable`` when none runs."""
        return self._running().pid

    @property
    def alive(self) -> bool:
        """Running; a paused server is alive."""
        return self._process is not None and self._process.alive

    @property
    def paused(self) -> bool:
        """Stopped by ``pause`` and not resumed."""
        return self._process is not None and self._process.paused

    def log_tail(self, lines: int = 20) -> str:
        """The end of what the server has written about itself."""
        return "\n".join((self.folder / "server.log").read_text(errors="replace").splitlines()[-lines:])

    def start(self) -> Self:
        """Starts it, or starts it again in the same folder and on the same ports; returns when it answers."""
        if self.alive:
            return self
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="holdfast-server-"))
            self._first_start()
        else:
            self._launch()
        return self

    def kill(self) -> None:
        """SIGKILL: no last save, no goodbye to clients."""
        if self._process is not None:
            self._process.kill()
        self._hang_up()

    def terminate(self) -> None:
        """SIGTERM, and waits for the orderly end."""
        process = self._running()
        process.signal(signal.SIGTERM)
        process.reap(10)
        self._hang_up()

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nothing answers."""
        self._running().pause()

    def resume(self) -> None:
        """SIGCONT."""
        self._running().resume()

    def restart(self) -> None:
        """Kills it if it runs, and starts it in the same folder on the same ports."""
        self.kill()
        self.start()

    def close(self) -> None:
        """Kills it and removes its folder."""
        self.kill()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} port {self.port}>"

    def _running(self) -> Hurtable:
        if self._process is None:
            raise ServerUnreachable(f"{self!r} is not running")
        return self._process

    def _first_start(self) -> None:
        """Another process may take a port between our look and the server's bind: then the next ones are tried."""
        for attempts_left in reversed(range(5)):
            self._choose_ports()
            try:
                self._launch()
                break
            except ServerUnreachable:
                if not attempts_left or "in use" not in self.log_tail():
                    raise

    def _launch(self) -> None:
        self._hang_up()
        with (self.folder / "server.log").open("ab") as log:
            self._process = Hurtable(self._command(), env=self._environment(), cwd=self.folder, stdout=log,
                                     stderr=subprocess.STDOUT, folder=self.folder)
        try:
            wait_until(lambda: not self.alive or self._answers(), self.start_s, f"{self!r} answers",
                       errors=self._not_yet())
        except NotReached as error:
            self.kill()
            raise ServerUnreachable(f"{error}\n{self.log_tail()}") from error
        if not self.alive:
            raise ServerUnreachable(f"{self!r} ended at once:\n{self.log_tail()}")
