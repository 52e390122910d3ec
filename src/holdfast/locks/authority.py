# SPDX-License-Identifier: Apache-2.0
"""Fencing tokens from somewhere that forgets nothing, for locks that are kept where a failover may.

::

    locks = Locks(server, authority=EtcdAuthority(["http://etcd1:2379"]))

Locks on Redis number their holders themselves, and the numbers grow across a failover as long as the clocks of its
servers err by less than a minute. Whoever does not want to rely on that has the numbers drawn from a store that keeps
what it has said: etcd (the revision of a write), ZooKeeper (the zxid of one), or SQL (``authority_sql``). The lock
itself stays where it is: what a failover may still do is grant it twice; the tokens then tell the two apart.

**Drawn after the grant, before anybody is told, and the deadline looked at again.** Drawn before it, the numbers would
stand in the order of asking: A draws 5 and waits; B draws 6, holds, writes with 6 and gives back; A is granted at last
and the resource refuses its 5. Drawn while the lock is held, the next holder draws after this one has, for as long as
the lock excludes. Where it does not (a failover has forgotten A, B is granted), A and B draw in either order, and the
resource takes the larger one's writes from its first on: never the two in turns.

A draw that fails, or takes longer than the lease, costs the grant: it is given back, and an error is raised. The price
is a write elsewhere for every grant, and that no lock is to be had while the authority is away.

A resource that has seen tokens of another origin refuses smaller ones: Redis's are microseconds since 1970. ``above``
is added to every number; give all processes the same, once, and never less.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote

from .._base.clock import Clock, Instant
from .._base.reopening import Reopening
from .._coord.etcd import Etcd
from .._coord.zookeeper import ZooKeeperSession, open_session
from .._redis.heart import certain_s
from ..errors import ServerUnreachable

if TYPE_CHECKING:
    from .held import Acquisition

#: Longest wait for a number.
DRAW_S = 2.0


class TokenAuthority(Protocol):
    """Where fencing tokens come from."""

    async def next(self, name: str) -> int:
        """A number larger than any that was given for ``name`` before. Raises ServerUnreachable, and others."""
        ...


async def drawn(authority: TokenAuthority, held: Acquisition, clock: Clock, sent_at: Instant) -> int:
    """The token of a grant that was asked for at ``sent_at`` and that nobody was told of yet.

    ServerUnreachable when none came in time: the caller gives the grant back.
    """
    ends_at = sent_at + certain_s(held.lease_ms)
    try:
        async with asyncio.timeout(max(0.0, min(DRAW_S, ends_at - clock.now()))):
            token = await authority.next(held.name)
    except TimeoutError as error:
        raise ServerUnreachable(f"lock {held.name!r}: the token authority did not answer in time; it was given back"
                                ) from error
    if clock.now() >= ends_at:  # guard: somebody else may hold it by now, and have drawn before us
        raise ServerUnreachable(f"lock {held.name!r}: its lease ran out while its token was drawn")
    return token


def _key(name: str) -> str:
    quoted = quote(name, safe="", errors="surrogatepass")
    return quoted if quoted.strip(".") else quoted.replace(".", "%2E")


class EtcdAuthority:
    """Fulfils ``TokenAuthority``: the revision of a write to ``{prefix}{name}``. One key a name stays.

    endpoints, timeout_s, verify, user: as ``EtcdLocks`` has them. above: see the module.
    """

    def __init__(self, endpoints: Sequence[str], *, prefix: str = "holdfast/tokens/", above: int = 0,
                 timeout_s: float = DRAW_S, verify: ssl.SSLContext | None = None,
                 user: tuple[str, str] | None = None) -> None:
        self._etcd = Etcd(endpoints, timeout_s=timeout_s, verify=verify, user=user)
        self._prefix, self._above = prefix, above

    async def next(self, name: str) -> int:
        """See ``TokenAuthority``. A number whose answer is lost is nobody's."""
        return self._above + await self._etcd.put(f"{self._prefix}{_key(name)}".encode(), b"")

    async def close(self) -> None:
        """Closes the connections."""
        await self._etcd.close()


class ZooKeeperAuthority:
    """Fulfils ``TokenAuthority``: the zxid of a write to the node ``{root}/{name}``. One node a name stays.

    hosts, auth, connect_s: as ``ZooKeeperLocks`` has them. ttl_s: of the session, which holds nothing. above: see the
    module.
    """

    def __init__(self, hosts: str, *, root: str = "/holdfast/tokens", above: int = 0, ttl_s: float = 10.0,
                 auth: tuple[tuple[str, str], ...] = (), connect_s: float = DRAW_S) -> None:
        self._root, self._above = root.rstrip("/"), above
        self._sessions: Reopening[ZooKeeperSession] = Reopening(
            lambda: open_session(hosts, ttl_s, auth=auth, timeout_s=connect_s), lambda session: session.over)

    async def next(self, name: str) -> int:
        """See ``TokenAuthority``. A number whose answer is lost is nobody's."""
        session = await self._sessions.alive()
        return self._above + await session.stamp(f"{self._root}/{_key(name)}")

    async def close(self) -> None:
        """Ends the session."""
        await self._sessions.close()
