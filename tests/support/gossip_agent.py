# SPDX-License-Identifier: Apache-2.0
"""A running ``holdfast gossip agent``, to be asked, hurt and ended."""

from __future__ import annotations

import re
import signal
import subprocess
from pathlib import Path
from typing import Any, Self

from holdfast.testing.waiting import wait_until
from tests.cli.conftest import COMMAND, environment


class Agent:
    """Runs in ``folder`` until the ``with`` block ends. address, rpc: where it listens, once it has said so."""

    def __init__(self, folder: Path, name: str, *args: object, join: Agent | None = None, rpc: str = "127.0.0.1:0",
                 **env: str) -> None:
        self.name, self.folder, self.env = name, folder, env
        self.args = ["--name", name, "--bind", "127.0.0.1:0", "--rpc", rpc, *map(str, args)]
        if join is not None:
            self.args += ["--join", join.address]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, joined: bool = True) -> Self:
        self._out, self._err = (self.folder / f"{self.name}-{id(self)}.{end}" for end in ("out", "err"))
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen([*COMMAND, "gossip", "agent", *self.args], cwd=self.folder, stdout=out,
                                            stderr=err, stdin=subprocess.DEVNULL, env=environment(**self.env))
        if joined:
            wait_until(lambda: self._said() or self.process.poll() is not None, 30, "the agent says its address")
            assert self._said(), self.err
        return self

    @property
    def out(self) -> str:
        return self._out.read_text()

    @property
    def err(self) -> str:
        return self._err.read_text()

    def _said(self) -> Any:
        return re.search(r"^member .* at (\S+), RPC at (\S+)$", self.err, re.MULTILINE)

    @property
    def address(self) -> str:
        return self._said()[1]

    @property
    def rpc(self) -> str:
        return self._said()[2]

    def end(self, number: int = signal.SIGTERM, deadline_s: float = 30) -> int:
        self.process.send_signal(number)
        return self.process.wait(deadline_s)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self.process is not None:
            if self.process.poll() is None:
                self.process.kill()
            self.process.wait()
