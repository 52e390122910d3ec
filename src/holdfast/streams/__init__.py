# SPDX-License-Identifier: Apache-2.0
"""The consumption contract on Redis and Valkey streams: producer, groups, recovery, parking, partitions, inspection.

Open ``lane`` first: every change of a pending list is one script called there. ``source`` is one consumer's life,
``sweeper`` what it does besides reading. The rules are numbered in the delivery protocol
(docs/explanation/delivery.md)::

    from holdfast import Holdfast

    hf = Holdfast()
    await hf.publish("orders", {"id": 7}, key="customer-3")
"""
