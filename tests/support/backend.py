# SPDX-License-Identifier: Apache-2.0
"""The servers that tests share: started when first asked for, one of a kind in each test process, cleaned each time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from holdfast.testing.servers import Cluster, Sentinel, ServerMissing, Single, find_server

#: What ``--servers`` may name: the kind of server, and the flavour behind it.
KINDS = {"valkey": "valkey", "redis62": "redis62", "redis70": "redis70", "sentinel": "valkey", "cluster": "valkey"}

Topology = Single | Sentinel | Cluster


@dataclass(frozen=True)
class Backend:
    """What a test that runs on every kind of server sees of it."""

    kind: str
    server: Topology

    @property
    def flavour(self) -> str:
        return KINDS[self.kind]

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def admin(self) -> Any:
        """A synchronous client, bytes in and out: of the server, of the present master, or of the whole cluster."""
        return self.server.admin

    @property
    def masters(self) -> list[Single]:
        """The nodes that take writes now."""
        return [self.server] if isinstance(self.server, Single) else self.server.masters

    def clean(self) -> None:
        """Mends what the last test left broken, and empties the key space."""
        if isinstance(self.server, Single):
            self.server.resume()
            self.server.start()
        else:
            self.server.mend()
        for master in self.masters:
            master.admin.flushall()


class Pool:
    """The backends of one test process."""

    def __init__(self) -> None:
        self._started: dict[str, Backend] = {}

    def get(self, kind: str) -> Backend:
        """The backend of this kind, running and empty. Raises ``ServerMissing``."""
        if kind not in self._started:
            self._started[kind] = Backend(kind, _build(kind).start())
        backend = self._started[kind]
        backend.clean()
        return backend

    def close(self) -> None:
        for backend in self._started.values():
            backend.server.close()
        self._started.clear()


def _build(kind: str) -> Topology:
    flavour = KINDS[kind]
    if kind == "sentinel":
        return Sentinel(flavour)
    if kind == "cluster":
        return Cluster(flavour)
    return Single(flavour)


def versions(kinds: list[str]) -> list[str]:
    """One line for each flavour behind ``kinds``: its version, or why it is missing."""
    lines = []
    for flavour in dict.fromkeys(KINDS[kind] for kind in kinds):
        try:
            lines.append(str(find_server(flavour)))
        except ServerMissing as missing:
            lines.append(str(missing))
    return lines
