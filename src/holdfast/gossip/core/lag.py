# SPDX-License-Identifier: Apache-2.0
"""A member that wakes late knows who slept.

Pings went unanswered because nobody read the answers; accusations ran out while their refutations lay in the socket.
memberlist notices that only by its probes failing, one by one, and by then it has accused. But lateness can be seen at
once: this member asked to be woken at a time, and it is later. So nothing that ran out meanwhile counts against
anybody: the probe is begun again, accusations stand until what waits has been read, and the lateness counts as that
many failed probes in the score of health.

Not for ever: in a cluster whose members are all slow somebody still has to notice a death. What was put off
``suspicion_max_mult`` times runs out the next time.
"""

from __future__ import annotations

from . import probing
from .effects import Lagged
from .node import SUSPICION, Node
from .suspicion import Suspicion


def notice(node: Node) -> None:
    """Asked before each event."""
    late_s = node.now - node.timers.next
    if late_s < node.profile.lag_s or not node.profile.lifeguard.lag:
        return
    node.health.add(1 + int(late_s / node.profile.probe_interval_s))
    node.out.append(Lagged(late_s))
    probing.void(node)
    for key in node.timers.keys():  # noqa: SIM118 - not a dict: the keys as they are now
        due = node.timers.due(key)
        accused = node.suspicions.get(key[1]) if isinstance(key, tuple) and key[0] == SUSPICION else None
        until = node.now if accused is None else _until(node, accused)  # guard: the late one accuses nobody
        if due is not None and due < until:
            node.timers.set(key, until)
            if accused is not None:
                accused.put_off += 1


def _until(node: Node, accused: Suspicion) -> float:
    """What waits has been read by then."""
    if accused.put_off >= node.profile.suspicion_max_mult:  # guard: not for ever
        return node.now
    return node.now + node.profile.probe_timeout_s
