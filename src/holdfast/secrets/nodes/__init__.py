# SPDX-License-Identifier: Apache-2.0
"""Nodes that hold one share of each secret, and who asks them."""

from __future__ import annotations

from .circle import ACTIONS, Caller, Circle, Holder
from .disk import Disk, Standing
from .keys import Identity
from .ledger import Fault, compare, examine
from .node import Node
from .reshare import Reshare, signed
from .root import RootInShares, RootKey
from .serving import Serving
from .store import SharesStore

__all__ = ["ACTIONS", "Caller", "Circle", "Disk", "Fault", "Holder", "Identity", "Node", "Reshare", "RootInShares",
           "RootKey", "Serving", "SharesStore", "Standing", "compare", "examine", "signed"]
