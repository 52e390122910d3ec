# SPDX-License-Identifier: Apache-2.0
"""The protocol's state machine: (event, now, chance) → effects. No socket, no clock, no randomness of its own.

::

    profile ──▶ Core.handle(event, now, chance) ──▶ [Packet, Exchange, Changed, …]
                Core.next_due                       when it wants a Tick

``core.py`` is the door; ``node.py`` what a member knows; ``claims.py`` whom to believe; ``probing.py`` who is there;
``spreading.py`` passing on; ``exchange.py`` all that is known, at once. ``members.py`` and ``order.py`` are the table,
``broadcasts.py``, ``suspicion.py``, ``health.py``, ``timers.py``, ``formulas.py`` parts.
"""
