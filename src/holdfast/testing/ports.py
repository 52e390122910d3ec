# SPDX-License-Identifier: Apache-2.0
"""Free loopback ports that stay free.

A port from ``bind(0)`` lies in the range from which the kernel serves outgoing connections, so while a server is down
between a kill and its restart any client on the machine may take its port. Ours lie below that range, and low enough
that the cluster bus, at port + 10000 on Redis 6.2, does too.
"""

from __future__ import annotations

import random
import socket

HOST = "127.0.0.1"
_LOWEST, _HIGHEST = 10_300, 22_500
_BUS_OFFSET = 10_000

_chance = random.SystemRandom()
_given: set[int] = set()


def free_port() -> int:
    """A port on which nobody listens, new to this process, with a free cluster bus port beside it."""
    for _ in range(1000):
        port = _chance.randrange(_LOWEST, _HIGHEST)
        if port not in _given and _is_free(port) and _is_free(port + _BUS_OFFSET):
            _given.add(port)
            return port
    raise OSError(f"no free loopback port between {_LOWEST} and {_HIGHEST}")


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
