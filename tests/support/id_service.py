# SPDX-License-Identifier: Apache-2.0
"""A running ``holdfast id serve``, to be asked, hurt and ended."""

from __future__ import annotations

import re
import signal
import subprocess
from pathlib import Path
from typing import Any, Self

import httpx2

from holdfast.testing.waiting import wait_until
from tests.cli.conftest import COMMAND, environment


class Service:
    """Runs in ``folder`` until the ``with`` block ends. ``url``: where it listens, once it has said so."""

    def __init__(self, folder: Path, *args: object, port: int = 0, env: dict[str, str] | None = None) -> None:
        self.args, self.env, self.folder, self.port = args, env or {}, folder, port
        self.process: subprocess.Popen[bytes] | None = None
        self.http = httpx2.Client(trust_env=False, timeout=20)

    def start(self, *, ready: bool = True) -> Self:
        self._err = self.folder / f"err-{id(self)}"
        with self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [*COMMAND, "id", "serve", "--port", str(self.port), *map(str, self.args)], cwd=self.folder, stderr=err,
                stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, env=environment(**self.env))
        wait_until(lambda: self.url and (not ready or "serving ids at" in self.err), 30, "the service says its address")
        return self

    @property
    def err(self) -> str:
        return self._err.read_text()

    @property
    def url(self) -> str:
        found = re.search(r"(?:serving ids|not ready) at (http://\S+)", self.err)
        return found[1] if found else ""

    def post(self, path: str, **how: Any) -> httpx2.Response:
        return self.http.post(self.url + path, **how)

    def get(self, path: str, **how: Any) -> httpx2.Response:
        return self.http.get(self.url + path, **how)

    def ids(self, tag: str, count: int) -> list[int]:
        answer = self.post(f"/v1/ids/{tag}/batch", params={"count": count})
        assert answer.status_code == 200, answer.text
        return [int(each) for each in answer.json()["ids"]]

    def ready(self) -> bool:
        return self.get("/readyz").status_code == 200

    def end(self, number: int = signal.SIGTERM, deadline_s: float = 30) -> int:
        self.process.send_signal(number)
        return self.process.wait(deadline_s)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.http.close()
        if self.process is not None:
            if self.process.poll() is None:
                self.process.kill()
            self.process.wait()
            self.process.stdout.close()
