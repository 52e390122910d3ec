# SPDX-License-Identifier: Apache-2.0
"""The relays that ship, thousands of times, under a clock of its own.

``world.py`` goes from event to event, to some 10,000 nodes; ``fast.py`` knows one transaction and trickle only, and
takes a second for 110,000. ``network.py`` is what lies between nodes. ``ledgered.py`` has whole nodes that keep a
chain; ``forks.py`` and ``attacks.py`` measure what becomes of them, ``doors.py`` is what they let in. There is no rule
of relaying here.
"""
