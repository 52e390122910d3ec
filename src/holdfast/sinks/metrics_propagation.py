# SPDX-License-Identifier: Apache-2.0
"""Metrics of nodes that pass on transactions and blocks. A part of the table in ``metrics``.

``node`` is a node of this process. Neighbours' ids are no labels: anybody can make as many as he likes.
"""

from __future__ import annotations

from .metric import Feed, Metric, count, gauge, seconds

_NODE = ("node",)
_STOOD = "PropagationStood"
_KINDS = {"received": "received", "forwarded": "forwarded", "duplicate": "duplicate", "invalid": "invalid",
          "too much": "too_much"}
#: From one network's hop to a policy that waits on purpose.
_SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0, 120.0)

PROPAGATION = (
    gauge("holdfast_propagation_peers", "peers", "Neighbours.", labels=_NODE, event=_STOOD),
    gauge("holdfast_propagation_outbound", "outbound", "Neighbours that this node called itself.", labels=_NODE,
          event=_STOOD),
    gauge("holdfast_propagation_alone_seconds", "alone_s", "Since when there is no neighbour; 0 with one.",
          labels=_NODE, event=_STOOD, across="max", unit="seconds"),
    gauge("holdfast_propagation_known", "known", "Addresses of other nodes that are known.", labels=_NODE,
          event=_STOOD),
    gauge("holdfast_propagation_banned", "banned", "Nodes and addresses that are not spoken to.", labels=_NODE,
          event=_STOOD),
    gauge("holdfast_propagation_mempool", "mempool", "Transactions that wait for a block.", labels=_NODE,
          event=_STOOD),
    gauge("holdfast_propagation_mempool_bytes", "mempool_bytes", "Their bytes.", labels=_NODE, event=_STOOD,
          unit="bytes"),
    gauge("holdfast_propagation_mempool_filled_ratio", "filled", "The part of the room for them that they take.",
          labels=_NODE, event=_STOOD, across="max"),
    Metric("holdfast_propagation_messages_total", "counter",
           "Words received; transactions passed on, that came for nothing, that were no good; words beyond what a "
           "neighbour may say.", (*_NODE, "kind"),
           tuple(Feed(_STOOD, value, {"kind": kind}) for kind, value in _KINDS.items()),
           closed={"kind": tuple(_KINDS)}),
    seconds("holdfast_propagation_fetch_seconds", _STOOD, "fetch_s",
            "From the first word of a transaction until it was here. A transaction does not say when it was made.",
            labels=_NODE, buckets=_SECONDS),
    seconds("holdfast_propagation_block_seconds", _STOOD, "block_s",
            "From the making of a block, by its maker's clock, until it was here.", labels=_NODE, buckets=_SECONDS),
    gauge("holdfast_propagation_height", "height", "Blocks of the chain.", labels=_NODE, event=_STOOD, across="max"),
    gauge("holdfast_propagation_head_age_seconds", "head_age_s", "Since the chain moved.", labels=_NODE, event=_STOOD,
          across="max", unit="seconds"),
    count("holdfast_propagation_confirmed_total", _STOOD, "confirmed", "Transactions that came into the chain.",
          labels=_NODE),
    count("holdfast_propagation_undone_total", _STOOD, "undone", "Blocks that left the chain for a longer branch.",
          labels=_NODE),
)
