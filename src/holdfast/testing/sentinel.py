# SPDX-License-Identifier: Apache-2.0
"""A master, replicas, and three Sentinels that elect a new master within two seconds of its death."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any, Self, cast

from .ports import HOST
from .replicated import SYNC_S, Replicated
from .single import Settings, Single, driver_errors
from .waiting import wait_until

MASTER_NAME = "mymaster"
_QUORUM = 2

#: Sentinels ping once a second, or once in down-after if that is shorter, and a master they have just switched to is
#: not pinged before one such period is over. Where the two are equal each switch is followed by a false alarm, now and
#: then by a second failover. From 7.0 on the periods can be set; before, the master has to be down longer than one.
#: Not below 200 for pings: what a Sentinel knows of a replica, asked once a second, counts as stale after five ping
#: periods, and a stale replica is not elected.
_PERIODS_MS = {"PING-PERIOD": 250, "PUBLISH-PERIOD": 500, "INFO-PERIOD": 1000}
_DOWN_AFTER_MS = {True: 500, False: 1500}

#: One Sentinel asks the others more often than they ask it: it mostly stands alone in the election. Two candidates at
#: the same moment split the votes, and the next attempt is twice the failover timeout away.
_CANDIDATE_MS = {"ASK-PERIOD": 100}
_FAILOVER_TIMEOUT_MS = 2_000

#: A replica that does not follow the address they know for the master is put back by the Sentinels after one failover
#: timeout. A proxied link looks like that to them, so until the failover is wanted the timeout outlasts the test.
_PROXIED_TIMEOUT_MS = 600_000


class SentinelNode(Single):
    """One Sentinel process."""

    mode = ("--sentinel",)

    def __init__(self, flavour: str, env: Mapping[str, str] | None, *, candidate: bool) -> None:
        super().__init__(flavour, env=env)
        self._periods_ms = {**_PERIODS_MS, **(_CANDIDATE_MS if candidate else {})}

    def _defaults(self) -> dict[str, Any]:
        return {"bind": HOST, "protected-mode": "no"}

    @property
    def tunable(self) -> bool:
        """Can its periods be set?"""
        return self.binary.version >= (7, 0)

    def start(self) -> Self:
        """Starts it, with short periods where it has them."""
        super().start()
        if self.tunable:
            self.admin.execute_command("SENTINEL", "DEBUG", *chain.from_iterable(self._periods_ms.items()))
        return self


class Sentinel(Replicated):
    """``Replicated`` under three Sentinels: ``url`` names these, ``failover()`` makes them work.

    The master is down for them after 500 ms without an answer (1500 ms on Redis 6.2); two must agree.
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
        self.sentinels = [SentinelNode(flavour, env, candidate=i == 0) for i in range(3)]
        self.nodes = [*self.data_nodes, *self.sentinels]

    @property
    def url(self) -> str:
        hosts = ",".join(f"{HOST}:{node.port}" for node in self.sentinels)
        return f"redis+sentinel://{hosts}/{MASTER_NAME}/0"

    def _start(self) -> None:
        super()._start()
        watch = {
            "sentinel": [
                f"monitor {MASTER_NAME} {HOST} {self.master.port} {_QUORUM}",
                f"down-after-milliseconds {MASTER_NAME} {_DOWN_AFTER_MS[self.sentinels[0].tunable]}",
                f"failover-timeout {MASTER_NAME} {_PROXIED_TIMEOUT_MS if self._proxied else _FAILOVER_TIMEOUT_MS}",
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
        seen = _master_state(sentinel)
        return (
            seen[b"flags"] == b"master"
            and int(seen[b"port"]) == self.master.port
            and int(seen[b"num-slaves"]) >= len(self.replicas)
            and int(seen[b"num-other-sentinels"]) == len(self.sentinels) - 1
        )

    def _living_sentinels(self) -> list[Single]:
        return [node for node in self.sentinels if node.alive and not node.paused]

    def elected(self) -> Single | None:
        """The node that every living Sentinel calls a healthy master and that is one; None while they disagree."""
        states = [_master_state(node) for node in self._living_sentinels()]
        ports = {state[b"port"] for state in states}
        if len(ports) != 1 or any(state[b"flags"] != b"master" for state in states):
            return None
        node = self.node_at(int(ports.pop()))
        return node if node.admin.role()[0] == b"master" else None

    def failover(self, deadline_s: float = 15.0) -> Single:
        """Kills the master and returns the new one, once all Sentinels name it and it answers as a master."""
        self.master.kill()
        return self.wait_failover(deadline_s)

    def wait_failover(self, deadline_s: float = 15.0) -> Single:
        """Waits until another than the present ``master`` was elected, for tests that hurt the master by themselves."""
        old = self.master
        for node in self._living_sentinels():
            node.admin.execute_command("SENTINEL", "SET", MASTER_NAME, "failover-timeout", _FAILOVER_TIMEOUT_MS)

        def another() -> Single | None:
            found = self.elected()
            return None if found is old else found

        self._adopt(self._wait_elected(another, deadline_s, f"another master than {old!r} is elected"))
        return self.master

    def _wait_elected(self, who: Callable[[], Single | None], deadline_s: float, what: str) -> Single:
        return cast("Single", wait_until(who, deadline_s, what, errors=driver_errors()))

    def _adopt(self, master: Single) -> None:
        self.master = master
        self.replicas = [node for node in self.data_nodes if node is not master]

    def mend(self) -> None:
        """Everything runs again, under whoever is master now. What a restarted node held in memory is gone.

        Sentinels wait eight seconds before they correct an old master that comes back; here it is told at once.
        """
        for link in self.links:
            link.heal()
        self._wake()
        self._adopt(self._wait_elected(self.elected, SYNC_S, f"the Sentinels of {self!r} agree"))
        for node in self.replicas:
            if not follows_port(node, self.master.port):
                node.admin.replicaof(HOST, self.master.port)
        self.wait_in_sync()
        self.wait_watching()


def follows_port(replica: Single, port: int) -> bool:
    """Does this node follow the master on ``port``?"""
    info: Any = replica.admin.info("replication")
    return bool(info["role"] == "slave" and info["master_port"] == port)


def _master_state(sentinel: Single) -> dict[bytes, bytes]:
    """What this Sentinel holds of the master: ``port``, ``flags``, ``num-slaves`` and more."""
    flat = sentinel.admin.execute_command("SENTINEL", "MASTER", MASTER_NAME)
    return dict(zip(flat[::2], flat[1::2], strict=True))
