# SPDX-License-Identifier: Apache-2.0
"""What an agent's member does, told as events once a second: its gauges, what was counted since, and what became of
others. From them come ``/metrics``."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from .._base import events as ev
from ..errors import GossipError

if TYPE_CHECKING:
    from ..gossip.agent import Cluster
    from ..gossip.agent.inspect import ClusterInspection

EVERY_S: Final = 1.0
#: How counters of what was refused begin, and of full queues.
_REFUSED: Final = ("packets_refused_", "streams_refused_", "messages_refused_")


class Watch:
    """events: who hears. Made before the cluster is entered, so that it has the first changes, too."""

    def __init__(self, cluster: Cluster, events: ev.Events, *, layer: bool) -> None:
        self._cluster, self._tell = cluster, events.emit
        self._feeds: list[Any] = [cluster.changes(), *([cluster.events()] if layer else [])]
        self._counts: dict[str, int] = {}
        self._dropped = self._lost = 0
        self._primary, self._since = "", 0.0

    async def run(self) -> None:
        """Until it is cancelled, or the member stops."""
        async with asyncio.TaskGroup() as group:
            for feed in self._feeds:
                group.create_task(self._read(feed))
            group.create_task(self._stand())

    async def _read(self, feed: Any) -> None:
        from ..gossip.agent import Change, Event

        with contextlib.suppress(GossipError):  # the process ends with it, and says why
            async for happened in feed:
                if isinstance(happened, Change):
                    self._tell(ev.GossipChanged(node=self._cluster.name, what=happened.what,
                                                member=happened.member.name, by=happened.by))
                elif isinstance(happened, Event):
                    self._tell(ev.GossipUserEvent(node=self._cluster.name, name=happened.name))

    async def _stand(self) -> None:
        while True:
            try:
                self._told(self._cluster.inspect())
            except GossipError:
                return
            await asyncio.sleep(EVERY_S)

    def _told(self, found: ClusterInspection) -> None:
        node, core = self._cluster.name, found.core
        self._tell(ev.GossipStood(node=node, alive=core.alive, suspect=core.suspect, dead=core.dead, left=core.left,
                                  health=core.health, news=core.news, letters=core.letters))
        since = {name: count - self._counts.get(name, 0) for name, count in found.counts.items()}
        self._counts = dict(found.counts)
        self._tell(ev.GossipTraffic(node=node, **{name: since.get(name, 0) for name in (
            "packets_in", "packets_out", "bytes_in", "bytes_out")}))
        for why, count in _refused(since).items():
            self._tell(ev.GossipRefused(node=node, why=why, count=count))
        for queue, total, before in (("news", core.dropped, self._dropped), ("changes", found.dropped, self._lost)):
            if total > before:
                self._tell(ev.GossipDropped(node=node, queue=queue, count=total - before))
        self._dropped, self._lost = core.dropped, found.dropped
        if found.keys:
            self._keys(found)

    def _keys(self, found: ClusterInspection) -> None:
        """The age of a key is that since this process first saw it seal: nobody is told when a key was made."""
        primary, now = next(key for key in found.keys if key.primary), time.monotonic()
        if primary.id != self._primary:
            self._primary, self._since = primary.id, now
        self._tell(ev.GossipKeysStood(node=self._cluster.name, keys=len(found.keys), sealed=primary.sealed,
                                      primary_age_s=now - self._since))


def _refused(since: Mapping[str, int]) -> dict[str, int]:
    """By why, of packets, streams and messages together."""
    found: dict[str, int] = {}
    for name, count in since.items():
        for prefix in _REFUSED:
            if count and name.startswith(prefix):
                why = name.removeprefix(prefix)
                found[why] = found.get(why, 0) + count
    return found
