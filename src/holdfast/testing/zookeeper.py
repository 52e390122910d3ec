# SPDX-License-Identifier: Apache-2.0
"""One real ZooKeeper on a free loopback port, in a temporary folder."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

from .binaries import ServerMissing
from .daemon import Daemon
from .ports import HOST

#: Where Debian's package ``zookeeper`` (through ``libzookeeper-java``) puts it. Its manifest names what it needs.
JAR = Path("/usr/share/java/zookeeper.jar")
#: A small machine that starts soon: 128 MB, no second compiler, nothing written to disk at once.
_JAVA = ["-Xmx128m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto", "-Dzookeeper.forceSync=no",
         "-Dzookeeper.4lw.commands.whitelist=srvr", "-Dzookeeper.admin.enableServer=false"]


class ZooKeeperServer(Daemon):
    """ZooKeeper with one server. tick_ms: sessions are granted 2 to 20 ticks, and end on a tick. ttl_s_max: the most
    that a session is granted, instead of 20 ticks: short ones for who wants them, and long ones that a busy machine
    does not end.

    Raises ``ServerMissing`` when Java or ZooKeeper is not installed.
    """

    #: A Java machine takes its time on a busy one.
    start_s = 30.0

    def __init__(self, *, tick_ms: int = 200, ttl_s_max: float | None = None) -> None:
        super().__init__()
        java = shutil.which("java")
        if java is None or not JAR.is_file():
            raise ServerMissing("zookeeper", "apt-get install zookeeper (Debian 12 has 3.8; it brings Java)")
        self._java, self._tick_ms = java, tick_ms
        self._ttl_ms_max = 20 * tick_ms if ttl_s_max is None else int(ttl_s_max * 1000)

    @property
    def hosts(self) -> str:
        """``host:port``, as a client wants it."""
        return f"{HOST}:{self.port}"

    def _command(self) -> list[str]:
        lines = (f"tickTime={self._tick_ms}", f"dataDir={self.folder / 'data'}", f"clientPort={self.port}",
                 f"clientPortAddress={HOST}", "maxClientCnxns=0",
                 f"maxSessionTimeout={self._ttl_ms_max}")
        (self.folder / "zoo.cfg").write_text("\n".join(lines) + "\n")
        return [self._java, *_JAVA, "-cp", str(JAR), "org.apache.zookeeper.server.ZooKeeperServerMain", "zoo.cfg"]

    def _answers(self) -> bool:
        with socket.create_connection(self.address, 1) as connection:
            connection.sendall(b"srvr")
            return b"Mode: standalone" in connection.recv(4096)
