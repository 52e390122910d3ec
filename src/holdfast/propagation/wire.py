# SPDX-License-Identifier: Apache-2.0
"""How long messages are, in bytes, without encoding them: Bitcoin's and GossipSub's orders of magnitude.

An announcement or a request is 36 bytes for each transaction (a type and a hash) and nothing besides: what frames and
transport add is the same for all policies, and none of their business.
"""

from __future__ import annotations

from .relay.words import Message

#: A transaction's type and hash.
ID_BYTES = 36
#: An element of a sketch.
ELEMENT_BYTES = 4
#: What only says that it is there: graft, prune, a question without arguments.
WORD_BYTES = 8


def weigh(message: Message) -> int:
    """Bytes of a message."""
    if message.kind in {"body", "stem"} or message.size:
        return message.size
    if message.kind == "sketch":
        return WORD_BYTES + ELEMENT_BYTES * message.count
    return ID_BYTES * len(message.txs) if message.txs else WORD_BYTES
