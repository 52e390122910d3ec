# SPDX-License-Identifier: Apache-2.0
"""How a node passes on what it hears: (event, now, chance) → effects, one file a policy.

``words.py`` is what goes in and out, ``base.py`` what all policies share, ``named.py`` has them by name. The simulator
and a node with sockets feed these very classes: an import contract keeps both from having rules of their own.
"""

from __future__ import annotations

from .announcing import Announce, Timing, Trickle
from .base import Relay
from .mesh import GossipMesh, Mesh
from .push import Flood, SqrtPush
from .reconcile import Reconcile, Sets
from .rumour import Rumour, Stop
from .stem import Dandelion, Stems

__all__ = [
    "Announce", "Dandelion", "Flood", "GossipMesh", "Mesh", "Reconcile", "Relay", "Rumour", "Sets", "SqrtPush", "Stems",
    "Stop", "Timing", "Trickle",
]
