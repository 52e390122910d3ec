# SPDX-License-Identifier: Apache-2.0
"""A member on a real network: sockets, a clock and chance for the core, and an API for whoever uses it.

::

    Cluster ──▶ Shell ──▶ Core, Layer        pure: (event, now, chance) → effects
                  │  ╲
              Transport  Voice               bytes in and out; what they mean

Inside::

    cluster.py      what is used. Open this first
    shell.py        carries out what core and layer want; courier.py: over streams; tasks.py: under way, and how many
    voice.py        messages as bytes and back: the place where modes differ
    transport.py    one port for datagrams and streams, and its bounds; strangers.py: what those may be sent
    settings.py     what a cluster is told, checked; address.py, places.py: hosts and ports
    view.py         members, changes, events as users see them; feed.py: to read them as they come
    inspect.py      what is going on; telling.py: to logs and metrics
    guarding.py     the defences; counsel.py: what two members' defences tell each other, in a native cluster
    native.py       joins by challenge, and the keys of a cluster whose members have identities
    questions.py    queries, asked and answered; key_changes.py: keys, in the whole cluster
    snapshot.py     what is remembered over a restart; remembering.py: by whom, and when
"""

from __future__ import annotations

from .cluster import Cluster
from .guarding import DEFENDED, DEFENDED_NATIVE
from .view import Answer, Change, Event, KeyChange, MemberView, Missed, QueryCall
from .voice import Peer, SharedVoice, Voice

__all__ = ["DEFENDED", "DEFENDED_NATIVE", "Answer", "Change", "Cluster", "Event", "KeyChange", "MemberView", "Missed",
           "Peer", "QueryCall", "SharedVoice", "Voice"]
