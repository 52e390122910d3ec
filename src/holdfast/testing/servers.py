# SPDX-License-Identifier: Apache-2.0
"""Real servers to test against, each a context manager: started on free loopback ports, killed and removed at the end.

::

    with Single("valkey", {"maxmemory": "10mb"}) as server:
        hf = Holdfast(server.url)
        server.kill()
        server.restart()
"""

from __future__ import annotations

from .binaries import FLAVOURS, Binary, ServerMissing, find_server
from .cluster import Cluster
from .replicated import Replicated
from .sentinel import Sentinel
from .single import Single

__all__ = ["FLAVOURS", "Binary", "Cluster", "Replicated", "Sentinel", "ServerMissing", "Single", "find_server"]
