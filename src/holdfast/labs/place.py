# SPDX-License-Identifier: Apache-2.0
"""Where a lab takes place: the given server, under names of the lab's own, which are gone afterwards."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING

from .._redis.keys import DEFAULT_PREFIX
from ..app import Holdfast
from ..streams.settings import StreamSettings

if TYPE_CHECKING:
    from .._redis.link import Link
    from .._redis.server import Server

#: Keys looked at, and keys removed, in one step of tidying up.
_PAGE = 1000


@dataclass(frozen=True, kw_only=True)
class Place:
    """A server, and what the keys of one run begin with.

    url: as of ``Holdfast``; None: the embedded server of ``data_dir``. prefix: the tenant's; a user who may write under
    it may run labs. token: of this run alone.
    """

    url: str | None = None
    data_dir: Path | None = None
    prefix: str = DEFAULT_PREFIX
    token: str = field(default_factory=lambda: token_hex(4))

    @property
    def own(self) -> str:
        """What every key of this run begins with, streams included."""
        return f"{self.prefix}:lab-{self.token}"

    def stream(self, name: str) -> str:
        """A stream of this run. Its slot is its own, so that what lies beside it is said by ``beside``."""
        return f"{self.own}:{{{self.token}-{name}}}"

    @staticmethod
    def beside(stream: str, what: str) -> bytes:
        """A key in the slot of a stream of ours."""
        return f"{stream}:{what}".encode()

    def holdfast(self, settings: StreamSettings | None = None) -> Holdfast:
        """A service of its own at this place."""
        return Holdfast(self.url, data_dir=self.data_dir, prefix=self.own, settings=settings, service="holdfast-lab")

    async def tidy_up(self, server: Server) -> int:
        """Removes every key of this run; how many there were."""
        removed = 0
        masters = await server.masters()
        for link in masters.values():
            removed += await self._tidy_up(link)
            await link.close()
        return removed

    async def _tidy_up(self, link: Link) -> int:
        removed = 0
        async for keys in link.scan(f"{self.own}:*", count=_PAGE):
            # One command a key: on a Cluster the keys of a page lie in many slots.
            removed += len(await link.pipeline([("UNLINK", key) for key in keys])) if keys else 0
        return removed
