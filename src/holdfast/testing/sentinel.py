# SPDX-License-Identifier: Apache-2.0
"""A master, replicas, and three Sentinels that elect a new master within two seconds of its death."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from .ports import HOST
from .replicated import SYNC_S, Replicated, follows, online_replicas
from .single import Settings, Single, driver_errors
from .waiting import wait_until

MASTER_NAME = "mymaster"
_QUORUM = 2
_DOWN_AFTER_MS = 500

#: Sentinels put a replica back that does not follow the address they know for the master; this is how long they
#: first wait. A proxied link looks like that to them, so it must outlast the test. It also bounds a failover that hangs.
_FAILOVER_TIMEOUT_MS = {False: 5_000, True: 180_000}


class SentinelNode(Single):
    """One Sentinel process."""

    mode = ("--sentinel",)

    def _defaults(self) -> dict[str, Any]:
        return {"bind": HOST, "protected-mode": "no"}


class Sentinel(Replicated):
    """``Replicated`` under three Sentinels: ``url`` names these, ``failover()`` makes them work.

    The master is down for them after 500 ms without an answer; two must agree.
    """

    def __init__(
        self,
        flavour: str = "valkey",
        config: Settings | None = None,
        env: Mapping[str, str] | None = None,
        *,
        replicas: int = 1,
        proxied: bool = False,
        faketime_offset_s: tuple[float, ...] | None = None,
    ) -> None:
        super().__init__(
            flavour, config, env, replicas=replicas, proxied=proxied, faketime_offset_s=faketime_offset_s
        )
        self.data_nodes = list(self.nodes)
        self.sentinels: list[Single] = [SentinelNode(flavour, env=env) for _ in range(3)]
        self.nodes = self.data_nodes + self.sentinels

    @property
    def url(self) -> str:
        hosts = ",".join(f"{HOST}:{node.port}" for node in self.sentinels)
        return f"redis+sentinel://{hosts}/{MASTER_NAME}/0"

    def _start(self) -> None:
        super()._start()
        watch = {
            "sentinel": [
                f"monitor {MASTER_NAME} {HOST} {self.master.port} {_QUORUM}",
                f"down-after-milliseconds {MASTER_NAME} {_DOWN_AFTER_MS}",
                f"failover-timeout {MASTER_NAME} {_FAILOVER_TIMEOUT_MS[self._proxied]}",
                f"parallel-syncs {MASTER_NAME} 1",
            ]
        }
        for node in self.sentinels:
            node.config.update(watch)
            node.start()
        self.wait_in_sync()
        self.wait_watching()

    def wait_watching(self, deadline_s: float = SYNC_S) -> None:
        """Returns when every living Sentinel knows the others, the replicas, and a healthy master."""
        wait_until(self._all_watch, deadline_s, f"the Sentinels of {self!r} are ready", errors=driver_errors())

    def _all_watch(self) -> bool:
        return all(map(self._watches, self._living_sentinels()))

    def _watches(self, sentinel: Single) -> bool:
        seen = _pairs(sentinel.admin.execute_command("SENTINEL", "MASTER", MASTER_NAME))
        return (
            seen[b"flags"] == b"master"
            and int(seen[b"port"]) == self.master.port
            and int(seen[b"num-slaves"]) >= len(self.replicas)
            and int(seen[b"num-other-sentinels"]) == len(self.sentinels) - 1
        )

    def _living_sentinels(self) -> list[Single]:
        return [node for node in self.sentinels if node.alive and not node.paused]

    def elected(self) -> Single:
        """The node that most living Sentinels call master now."""
        ports = Counter(_master_port(node) for node in self._living_sentinels())
        return self.node_at(ports.most_common(1)[0][0])

    def failover(self, deadline_s: float = 15.0) -> Single:
        """Kills the master and returns the new one, once all Sentinels name it and it answers as a master."""
        self.master.kill()
        return self.wait_failover(deadline_s)

    def wait_failover(self, deadline_s: float = 15.0) -> Single:
        """Waits until another than the present ``master`` was elected, for tests that hurt the master by themselves."""
        old = self.master

        def done() -> bool:
            ports = {_master_port(node) for node in self._living_sentinels()}
            return len(ports) == 1 and ports != {old.port} and self.node_at(*ports).admin.role()[0] == b"master"

        wait_until(done, deadline_s, f"the Sentinels elect another master than {old!r}", errors=driver_errors())
        self._adopt(self.elected())
        return self.master

    def _adopt(self, master: Single) -> None:
        self.master = master
        self.replicas = [node for node in self.data_nodes if node is not master]

    def mend(self) -> None:
        """Everything runs again, under whoever is master now. What a restarted node held in memory is gone.

        Sentinels wait eight seconds before they correct an old master that comes back; here it is told at once.
        """
        for link in self.links:
            link.heal()
        if not self._wake() and self.elected() is self.master and self._all_watch():
            return
        self._adopt(self.elected())
        for node in self.replicas:
            if not follows_port(node, self.master.port):
                node.admin.replicaof(HOST, self.master.port)
        self.wait_in_sync()
        self.wait_watching()


def follows_port(replica: Single, port: int) -> bool:
    """Does this node follow the master on ``port``?"""
    info: Any = replica.admin.info("replication")
    return bool(info["role"] == "slave" and info["master_port"] == port)


def _master_port(sentinel: Single) -> int:
    _, port = sentinel.admin.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER_NAME)
    return int(port)


def _pairs(flat: list[bytes]) -> dict[bytes, bytes]:
    return dict(zip(flat[::2], flat[1::2], strict=True))
