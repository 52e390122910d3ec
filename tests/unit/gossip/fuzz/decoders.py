# SPDX-License-Identifier: Apache-2.0
"""Every decoder of the room, with what a sound peer would give it: one table for all who fuzz.

A new decoder is one more entry: ``test_every_decoder_is_fuzzed`` finds by itself those that no entry reaches.
"""

from __future__ import annotations

from tests.unit.gossip.fuzz import members, wires
from tests.unit.gossip.fuzz.table import DECODERS, Decoder

__all__ = ["DECODERS", "Decoder", "members", "wires"]
