# SPDX-License-Identifier: Apache-2.0
"""A node of ZooKeeper as a plain value, and a name as a part of its path."""

from __future__ import annotations

from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from ..errors import ServerRefused

T = TypeVar("T")


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A node as ZooKeeper has it. ``version``: counts writes from 0; ``czxid``: of the write that made it, so a token
    that only grows; ``owner``: the session with which it goes, 0 for none."""

    path: str
    value: bytes
    version: int
    czxid: int
    owner: int

    @property
    def sequence(self) -> int:
        """The number that the server gave to a queued node."""
        return int(self.path[-10:])


def node_of(path: str, value: bytes, stat: Any) -> Node:
    """From what kazoo says of it."""
    return Node(path=path, value=value, version=stat.version, czxid=stat.czxid, owner=stat.ephemeralOwner)


def unless_missing(error: ServerRefused, answer: T) -> T:
    """``answer`` when the server had said that there is no such node; raises the error when it said anything else."""
    if error.code != "NoNode":
        raise error
    return answer


def segment(name: str) -> str:
    """A name as one part of a path: no slash, no control character, not ``.`` or ``..``, which ZooKeeper refuses."""
    quoted = quote(name, safe="", errors="surrogatepass")
    return quoted if quoted.strip(".") else quoted.replace(".", "%2E")
