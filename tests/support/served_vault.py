# SPDX-License-Identifier: Apache-2.0
"""A running ``holdfast secrets serve``, to be asked by commands, hurt and ended."""

from __future__ import annotations

import re
import signal
import ssl
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Self

import msgspec

from holdfast.testing.certificates import Authority
from holdfast.testing.ports import free_port
from holdfast.testing.waiting import wait_until
from tests.cli.conftest import COMMAND, environment


class Served:
    """Runs in ``folder`` until the ``with`` block ends. before: options of the group; after: of ``serve``."""

    def __init__(self, folder: Path, authority: Authority, before: tuple[str, ...], *after: str, port: int = 0,
                 policy: str = "policy.yaml") -> None:
        self.folder, self.port = folder, port or free_port()
        certificate, key = authority.issue("server", server=True)
        self._context = ssl.create_default_context(cafile=authority.ca)
        self._args = [*COMMAND, "secrets", "--pins", "pins", *before, "serve", "--bind", f"127.0.0.1:{self.port}",
                      "--certificate", str(certificate), "--key", str(key), "--policy", policy, *after]
        self.url = f"https://127.0.0.1:{self.port}"
        self._err = folder / f"err-{id(self)}"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def err(self) -> str:
        return self._err.read_text()

    @property
    def probes(self) -> str:
        found = re.search(r"metrics at (http://\S+)", self.err)
        return found[1] if found else ""

    def get(self, path: str, *, base: str = "") -> tuple[int, str]:
        """Status and text of an answer, from the server itself or from its probes."""
        try:
            with urllib.request.urlopen((base or self.url) + path, timeout=20, context=self._context
                                        if not base else None) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def ready(self) -> Any:
        """What /readyz says."""
        return msgspec.json.decode(self.get("/readyz")[1])

    def end(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(30)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(30)

    def __enter__(self) -> Self:
        with self._err.open("wb") as err:
            self.process = subprocess.Popen(self._args, cwd=self.folder, stderr=err, stdout=subprocess.PIPE,
                                            stdin=subprocess.DEVNULL, env=environment())
        wait_until(lambda: "serving secrets at" in self.err or self.process.poll() is not None, 60, "it serves")
        assert self.process.poll() is None, self.err
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(30)
        assert self.process.stdout is not None
        self.process.stdout.close()
