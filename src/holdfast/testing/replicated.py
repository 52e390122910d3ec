# SPDX-License-Identifier: Apache-2.0
"""A master and its replicas, with a proxy in each replication link when a test wants to stall it.

On loopback a replica has the write before the client has the answer, so a plain ``kill -9`` of the master loses nothing
even where the code under test is wrong. Only a link that can be stalled shows whether it was right::

    with Replicated(replicas=1, proxied=True) as pair:
        pair.links[0].stall()
        ...                       # what is written now exists on the master alone
        pair.master.kill()
        pair.promote(0)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .group import Group
from .ports import HOST
from .proxy import Proxy
from .single import Settings, Single, driver_errors
from .waiting import wait_until

#: A replica looks for its master once a second, then loads an empty data set.
SYNC_S = 15.0


class Replicated(Group):
    """One master, ``replicas`` replicas, no failover of its own (see ``Sentinel``).

    proxied: each replica reaches the master through a ``Proxy`` in ``links``, in the order of ``replicas``.
    config, env, flavour: as for ``Single``, for every node. ``faketime_offset_s`` gives the offset of each node's
    clock, master first; None leaves all on the machine's clock.
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
        offsets = faketime_offset_s or (None,) * (1 + replicas)
        self.nodes = [Single(flavour, config, env, faketime_offset_s=offset) for offset in offsets]
        self.master, *self.replicas = self.nodes
        self.links: list[Proxy] = []
        self._proxied = proxied

    @property
    def url(self) -> str:
        """Of the present master."""
        return self.master.url

    @property
    def admin(self) -> Any:
        """A synchronous client of the present master."""
        return self.master.admin

    @property
    def masters(self) -> list[Single]:
        """The present master, in a list, as other topologies have it."""
        return [self.master]

    def _start(self) -> None:
        self.master.start()
        for replica in self.replicas:
            replica.config["replicaof"] = f"{HOST} {self._way_to_master()}"
            replica.start()
        self.wait_in_sync()

    def _way_to_master(self) -> int:
        if not self._proxied:
            return self.master.port
        self.links.append(Proxy(self.master.address).start())
        return self.links[-1].port

    def wait_in_sync(self, deadline_s: float = SYNC_S) -> None:
        """Returns when every living replica has the master's data set and follows it."""

        def in_sync() -> bool:
            living = [replica for replica in self.replicas if replica.alive]
            return online_replicas(self.master) >= len(living) and all(map(follows, living))

        wait_until(in_sync, deadline_s, f"the replicas of {self!r} are in sync", errors=driver_errors())

    def promote(self, index: int) -> Single:
        """Makes ``replicas[index]`` the master, as an operator would by hand, and points the others at it.

        The old master, dead or not, joins the replicas; it is not told (an operator may not reach it either).
        """
        old, self.master = self.master, self.replicas.pop(index)
        self.master.admin.replicaof("NO", "ONE")
        for replica in self.replicas:
            if replica.alive:
                replica.admin.replicaof(HOST, self.master.port)
        self.replicas.append(old)
        return self.master

    def close(self) -> None:
        """Ends all servers and links."""
        super().close()
        for link in self.links:
            link.close()


def online_replicas(master: Single) -> int:
    """How many replicas the master has handed its data set and streams to now."""
    info: Any = master.admin.info("replication")
    rows = [row for name, row in info.items() if name.startswith("slave") and isinstance(row, dict)]
    return sum(1 for row in rows if row["state"] == "online")


def follows(replica: Single) -> bool:
    """Is the link to its master up, as this replica sees it?"""
    info: Any = replica.admin.info("replication")
    return bool(info["role"] == "slave" and info["master_link_status"] == "up")
