# SPDX-License-Identifier: Apache-2.0
"""A cluster of real nodes whose slots can be moved key by key, as a resharding does it, under a test's eyes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .._redis.slots import SLOTS, slot_of
from .group import Group
from .ports import HOST
from .single import Settings, Single, driver_errors
from .waiting import wait_until

#: MEET, gossip and slot tables take about one and a half seconds at a node timeout of one.
JOIN_S = 20.0


class Cluster(Group):
    """``masters`` nodes that share the 16384 slots evenly, and ``replicas`` replicas of each.

    Node timeout 1000 ms: a master without an answer for so long is failed over, when it has replicas.
    """

    def __init__(
        self,
        flavour: str = "valkey",
        config: Settings | None = None,
        env: Mapping[str, str] | None = None,
        *,
        masters: int = 3,
        replicas: int = 0,
    ) -> None:
        settings = {
            "cluster-enabled": "yes",
            "cluster-config-file": "nodes.conf",
            "cluster-node-timeout": "1000",
            **(config or {}),
        }
        self.nodes = [Single(flavour, settings, env) for _ in range(masters * (1 + replicas))]
        self._first_masters = self.nodes[:masters]
        self._admin: Any = None

    @property
    def url(self) -> str:
        """Names every node."""
        hosts = ",".join(f"{HOST}:{node.port}" for node in self.nodes)
        return f"redis://{hosts}"

    @property
    def admin(self) -> Any:
        """A synchronous ``RedisCluster``; bytes out."""
        if self._admin is None:
            from redis.cluster import RedisCluster

            self._admin = RedisCluster.from_url(self.masters[0].url, protocol=2)
        return self._admin

    @property
    def masters(self) -> list[Single]:
        """The living nodes that own slots."""
        return [node for node in self.nodes if node.alive and _own_ranges(node)]

    def _start(self) -> None:
        for node in self.nodes:
            node.start()
        self._share_slots()
        for node in self.nodes[1:]:
            node.admin.execute_command("CLUSTER", "MEET", HOST, self.nodes[0].port)
        wait_until(self._all_known, JOIN_S, f"the nodes of {self!r} know each other", errors=driver_errors())
        self._attach_replicas()
        self.wait_ok()

    def _share_slots(self) -> None:
        count = len(self._first_masters)
        for i, node in enumerate(self._first_masters):
            first, after = SLOTS * i // count, SLOTS * (i + 1) // count
            if node.binary.version >= (7, 0):
                node.admin.execute_command("CLUSTER", "ADDSLOTSRANGE", first, after - 1)
            else:
                node.admin.execute_command("CLUSTER", "ADDSLOTS", *range(first, after))

    def _attach_replicas(self) -> None:
        count = len(self._first_masters)
        for i, node in enumerate(self.nodes[count:]):
            node.admin.execute_command("CLUSTER", "REPLICATE", self.id_of(self._first_masters[i % count]))

    def _all_known(self) -> bool:
        return all(int(_cluster_info(node)["cluster_known_nodes"]) == len(self.nodes) for node in self.nodes)

    def wait_ok(self, deadline_s: float = JOIN_S) -> None:
        """Returns when every living node says ``cluster_state:ok`` and sees all slots served."""

        def ok() -> bool:
            infos = [_cluster_info(node) for node in self.nodes if node.alive and not node.paused]
            return all(i["cluster_state"] == "ok" and int(i["cluster_slots_ok"]) == SLOTS for i in infos)

        wait_until(ok, deadline_s, f"{self!r} is ok", errors=driver_errors())

    def id_of(self, node: Single) -> str:
        """The node's id in the cluster."""
        return _say(node, "CLUSTER", "MYID")

    def owner_of(self, slot: int) -> Single:
        """The node that owns the slot, as the slot's owner itself believes."""
        for node in self.masters:
            if any(first <= slot <= last for first, last in _own_ranges(node)):
                return node
        raise LookupError(f"no living node owns slot {slot}")

    def owner_of_key(self, key: bytes) -> Single:
        """The node that owns the key's slot."""
        return self.owner_of(slot_of(key))

    def moving(self, slot: int, to: Single, batch: int = 10) -> Iterator[bytes]:
        """Moves a slot to another node and yields each key once it has moved.

        Between two keys the slot is in two places: the old owner answers ASK for what has gone. When the iterator is
        exhausted the new owner is known to every node. Left early, the slot stays half moved (``mend`` settles that).
        """
        source = self.owner_of(slot)
        if source is to:
            return
        source_id, to_id = self.id_of(source), self.id_of(to)
        to.admin.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", source_id)
        source.admin.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", to_id)
        while keys := source.admin.execute_command("CLUSTER", "GETKEYSINSLOT", slot, batch):
            for key in keys:
                source.admin.execute_command("MIGRATE", HOST, to.port, key, 0, 5000)
                yield key
        # The new owner first: were the old one first, both would point at each other for a moment.
        for node in [to, source, *(n for n in self.masters if n not in (to, source))]:
            node.admin.execute_command("CLUSTER", "SETSLOT", slot, "NODE", to_id)

    def move_slot(self, slot: int, to: Single, pause: Callable[[bytes], object] | None = None) -> int:
        """``moving`` to its end; ``pause(key)`` is called between keys. Returns how many keys moved."""
        count = 0
        for key in self.moving(slot, to):
            count += 1
            if pause is not None:
                pause(key)
        return count

    def mend(self) -> None:
        """Everything runs again and no slot is half moved. Slots that were moved stay where they are."""
        if self._wake():
            self._hang_up()
        self.wait_ok()
        for node in self.masters:
            for slot in _open_slots(node):
                node.admin.execute_command("CLUSTER", "SETSLOT", slot, "STABLE")

    def close(self) -> None:
        """Ends all nodes and removes their folders."""
        self._hang_up()
        super().close()

    def _hang_up(self) -> None:
        if self._admin is not None:
            self._admin.close()
            self._admin = None


def _say(node: Single, *words: str) -> str:
    """The node's answer as text. The words go one by one: the driver parses what it recognises as one name."""
    answer: bytes = node.admin.execute_command(*words)
    return answer.decode()


def _cluster_info(node: Single) -> dict[str, str]:
    return dict(line.split(":", 1) for line in _say(node, "CLUSTER", "INFO").split("\r\n") if ":" in line)


def _slots_of(node: Single) -> list[str]:
    """The slots at the end of the node's own line of CLUSTER NODES: ``0-5460``, ``[93->-id]``."""
    own = next(line for line in _say(node, "CLUSTER", "NODES").splitlines() if "myself" in line)
    return own.split()[8:]


def _own_ranges(node: Single) -> list[tuple[int, int]]:
    ranges = []
    for word in _slots_of(node):
        if not word.startswith("["):
            first, _, last = word.partition("-")
            ranges.append((int(first), int(last or first)))
    return ranges


def _open_slots(node: Single) -> list[int]:
    """Slots that are being moved to or from this node: ``[93-<-id]`` and ``[93->-id]``."""
    return [int(word[1:].partition("-")[0]) for word in _slots_of(node) if word.startswith("[")]
