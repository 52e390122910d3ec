# SPDX-License-Identifier: Apache-2.0
"""Against members that lie, flood, drop, hide, or come in hundreds. No socket and no clock: (event, now, chance) → what
to do.

::

    guard = Guard("one", Seams(sign=…, verify=…, open=…), Defences())
    guard.arriving(peer, address, size, now)      before a packet is decoded: None, or why not
    guard.message(Incoming(…), now)               before a message is handled or passed on: a Decision
    guard.admit(name, host, issuer, now)          before a member enters
    guard.targets(id, peers, fanout, own, …)      to whom a message goes
    guard.tick(peers, now, chance)                what is due

Inside, each file one idea that works alone::

    guard.py           all of them together. Open this first
    settings.py        which are on, and what comes from outside; acts.py the records at the seams
    buckets.py         how much may come in           queues.py        a line for each peer
    amplification.py   how much goes out to whom      subnets.py       how many from one place
    validation.py      what users say of a message    scores.py        what a peer has been worth
    bans.py            who is not spoken to           equivocation.py  two values under one number
    deaths.py          nobody is dead by one word     coverage.py      do we hear what others hear
    peers.py           with whom we talk              views.py         do we see what others see
    boxes.py           payloads for named members     audit.py         what was decided, in a chain
    drawing.py, framing.py                            chance across networks; bytes that are signed
"""

from __future__ import annotations

from .guard import Guard, Inspection
from .settings import OFF, Defences, Seams

__all__ = ["OFF", "Defences", "Guard", "Inspection", "Seams"]
