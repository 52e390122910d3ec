# SPDX-License-Identifier: Apache-2.0
"""One real RabbitMQ on free loopback ports, in a temporary folder, with a name server (epmd) of its own.

Each Erlang node makes itself known to an epmd; the machine's usual one would be started by the first node, outlive it,
and be shared with strangers. So this one starts its own on a port of its own, and ends it.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path

from .binaries import ServerMissing
from .daemon import Daemon
from .ports import HOST, free_port
from .process import Hurtable

#: Debian's package puts the script itself here; the one on PATH insists on root, and on a user of its own.
SCRIPTS = Path("/usr/lib/rabbitmq/bin")
#: A small machine: two schedulers that do not spin while they wait.
_ERLANG = "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none"


class RabbitServer(Daemon):
    """RabbitMQ with one node, user ``guest``, virtual host ``/``. Queues that were declared durable outlive ``kill``
    and ``restart``. consumer_timeout_ms: how long a delivery may go unacknowledged; the server's own default is 30
    minutes.

    Raises ``ServerMissing`` when RabbitMQ is not installed.
    """

    #: Erlang takes its time on a busy machine.
    start_s = 60.0

    def __init__(self, *, consumer_timeout_ms: int | None = None) -> None:
        super().__init__()
        epmd = shutil.which("epmd")
        if not (SCRIPTS / "rabbitmq-server").is_file() or epmd is None:
            raise ServerMissing("rabbitmq", "apt-get install rabbitmq-server (Debian 12 has 3.10; it brings Erlang)")
        self._epmd_path, self._timeout_ms = epmd, consumer_timeout_ms
        self._epmd: Hurtable | None = None
        self._epmd_port = self._dist_port = 0

    @property
    def url(self) -> str:
        """Of its virtual host ``/``."""
        return f"amqp://guest:guest@{HOST}:{self.port}/"

    def control(self, *words: str) -> str:
        """What ``rabbitmqctl`` answers; it takes a second or two."""
        return subprocess.run([SCRIPTS / "rabbitmqctl", "-q", "-n", self._node, *words], env=self._environment(),
                              check=True, capture_output=True, text=True, timeout=60).stdout

    def terminate(self) -> None:
        """SIGTERM, and waits for the orderly end, which syncs queues."""
        super().terminate()

    def close(self) -> None:
        """Kills it, its name server too, and removes its folder."""
        self.kill()
        if self._epmd is not None:
            self._epmd.kill()
        super().close()

    @property
    def _node(self) -> str:
        return f"hf{self.port}@localhost"

    def _choose_ports(self) -> None:
        self.port, self._epmd_port, self._dist_port = free_port(), free_port(), free_port()
        if self._epmd is not None:
            self._epmd.kill()
        self._epmd = Hurtable([self._epmd_path, "-port", str(self._epmd_port), "-address", HOST],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def _environment(self) -> dict[str, str]:
        here = str(self.folder)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("RABBITMQ_", "ERL_"))}
        return kept | {
            "HOME": here, "RABBITMQ_BASE": here, "RABBITMQ_MNESIA_BASE": f"{here}/mnesia",
            "RABBITMQ_LOG_BASE": f"{here}/log", "RABBITMQ_LOGS": "-", "RABBITMQ_NODENAME": self._node,
            "RABBITMQ_CONF_ENV_FILE": f"{here}/none", "RABBITMQ_CONFIG_FILE": f"{here}/rabbitmq.conf",
            "RABBITMQ_ADVANCED_CONFIG_FILE": f"{here}/advanced.config",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{here}/plugins", "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": _ERLANG, "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": HOST, "RABBITMQ_CTL_ERL_ARGS": "+S 1:1", "ERL_CRASH_DUMP_BYTES": "0",
            "RUNNING_UNDER_SYSTEMD": "true",  # the script then becomes the server, and its pid is the server's
        }

    def _command(self) -> list[str]:
        lines = [f"listeners.tcp.1 = {HOST}:{self.port}", "disk_free_limit.absolute = 1MB",
                 "log.console.level = warning", "vm_memory_high_watermark.absolute = 1GB"]
        if self._timeout_ms is not None:
            lines.append(f"consumer_timeout = {self._timeout_ms}")
        # It looks once a tick, which is a minute unless told otherwise.
        tick = "" if self._timeout_ms is None else f"{{rabbit, [{{channel_tick_interval, {self._timeout_ms}}}]}}"
        (self.folder / "advanced.config").write_text(f"[{tick}].\n")
        (self.folder / "rabbitmq.conf").write_text("\n".join(lines) + "\n")
        (self.folder / "plugins").write_text("[].\n")
        return ["/bin/sh", str(SCRIPTS / "rabbitmq-server")]

    def _answers(self) -> bool:
        with socket.create_connection(self.address, 1) as connection:
            connection.settimeout(2)
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            return connection.recv(1) == b"\x01"
