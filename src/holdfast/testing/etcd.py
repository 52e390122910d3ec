# SPDX-License-Identifier: Apache-2.0
"""One real etcd on free loopback ports, in a temporary folder."""

from __future__ import annotations

import http.client
import json
import shutil

from .binaries import ServerMissing
from .daemon import Daemon
from .ports import HOST, free_port


class EtcdServer(Daemon):
    """etcd with one member. heartbeat_ms: a tenth of its election time; the least ttl it grants is 15 heartbeats,
    rounded up to a second. Raises ``ServerMissing`` when etcd is not on PATH.
    """

    def __init__(self, *, heartbeat_ms: int = 20) -> None:
        super().__init__()
        found = shutil.which("etcd")
        if found is None:
            raise ServerMissing("etcd", "apt-get install etcd-server (Debian 12 has 3.4)")
        self._binary, self._heartbeat_ms, self._peer_port = found, heartbeat_ms, 0

    @property
    def endpoint(self) -> str:
        """``http://host:port``, as a client wants it."""
        return f"http://{HOST}:{self.port}"

    def _choose_ports(self) -> None:
        super()._choose_ports()
        self._peer_port = free_port()

    def _command(self) -> list[str]:
        peer = f"http://{HOST}:{self._peer_port}"
        return [self._binary, "--name", "one", "--data-dir", "data", "--log-level", "error",
                "--listen-client-urls", self.endpoint, "--advertise-client-urls", self.endpoint,
                "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"one={peer}",
                "--heartbeat-interval", str(self._heartbeat_ms), "--election-timeout", str(10 * self._heartbeat_ms),
                "--unsafe-no-fsync"]

    def _not_yet(self) -> tuple[type[Exception], ...]:
        return (OSError, http.client.HTTPException)

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=1)
        try:
            connection.request("GET", "/health")
            return str(json.loads(connection.getresponse().read()).get("health")) == "true"
        finally:
            connection.close()
