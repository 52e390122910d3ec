# SPDX-License-Identifier: Apache-2.0
"""Policies by name, for whoever is told a name: a command line, a node's plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, TypeAlias

from ...errors import ConfigurationError
from .announcing import Announce, Timing, Trickle
from .base import Relay
from .mesh import GossipMesh, Mesh
from .push import ARRIVE_S, Flood, SqrtPush
from .reconcile import Reconcile, Sets
from .stem import Dandelion, Stems
from .words import Peer

Policy: TypeAlias = Callable[[Sequence[Peer]], Relay]


def _timing(pace: float) -> Timing:
    usual = Timing()
    return Timing(usual.inbound_s * pace, usual.outbound_s * pace, usual.unpreferred_s * pace)


_NAMED: Final[Mapping[str, Callable[[float], Policy]]] = MappingProxyType({
    "flood": lambda _: Flood,
    "announce": lambda _: Announce,
    "sqrt": lambda pace: lambda peers: SqrtPush(peers, arrive_s=ARRIVE_S * pace),
    "trickle": lambda pace: lambda peers: Trickle(peers, _timing(pace)),
    "mesh": lambda pace: lambda peers: GossipMesh(peers, Mesh(heartbeat_s=Mesh().heartbeat_s * pace)),
    "mesh-idontwant": lambda pace: lambda peers: GossipMesh(
        peers, Mesh(heartbeat_s=Mesh().heartbeat_s * pace, dontwant=True)),
    "reconcile": lambda pace: lambda peers: Reconcile(peers, Sets(every_s=Sets().every_s * pace), _timing(pace)),
    "dandelion": lambda pace: lambda peers: Dandelion(
        peers, Stems(embargo_s=Stems().embargo_s * pace, embargo_mean_s=Stems().embargo_mean_s * pace), _timing(pace)),
})
NAMES: Final = tuple(_NAMED)


def named(name: str, pace: float = 1.0) -> Policy:
    """The policy of that name. pace: its timers are so many times as long. Raises ConfigurationError."""
    if name not in _NAMED:
        raise ConfigurationError(f"there is no policy {name!r}: name one of {', '.join(NAMES)}")
    if not 0 < pace <= 1000:
        raise ConfigurationError(f"timers are more than 0 and at most 1000 times as long, not {pace:g}")
    return _NAMED[name](pace)
