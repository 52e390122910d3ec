# SPDX-License-Identifier: Apache-2.0
"""librdkafka's mock cluster in a process of its own, so that whoever uses it can be killed, or measured, without it."""

from __future__ import annotations

import subprocess
import sys
from types import TracebackType
from typing import Self

from ..errors import ServerUnreachable

__all__ = ["KafkaProcess"]


class KafkaProcess:
    """Runs until ``close``, or until this process ends. url: for ``Holdfast``; not a Kafka broker (``_kafka.mock``)."""

    def __init__(self) -> None:
        self._process = subprocess.Popen([sys.executable, "-m", "holdfast._kafka.mock"], stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.address = self._process.stdout.readline().strip() if self._process.stdout else ""
        if not self.address:
            self.close()
            raise ServerUnreachable("librdkafka's mock cluster did not start")

    @property
    def url(self) -> str:
        """Transactions are off: the mock cluster does not keep their promise."""
        return f"kafka://{self.address}?transactions=off"

    def close(self) -> None:
        """Ends it, and with it all that it held."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._process.wait(10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
                 ) -> None:
        self.close()
