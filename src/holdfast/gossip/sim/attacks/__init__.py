# SPDX-License-Identifier: Apache-2.0
"""Attacks on a simulated cluster, with each defence off and on: who believes what is false, who dies, who hears.

::

    import random
    from holdfast.gossip.sim.attacks.cases import ATTACKS

    attack = ATTACKS["liar about deaths"]
    for defences in attack.rows:
        print(defences.words, attack.played(defences, 60, [random.Random(1)]))

The members are the core that ships, and every decision against an attacker is the one that ships: ``gossip.signing``,
``gossip.trust``, ``gossip.defence``, with real keys. What is simulated is the clock, the way of packets, the attacker,
and how a member asks these parts in turn. One thing is left out: nobody is asked to probe an accused member itself
(``Solicit``); accusers are those whose own suspicion ran out.

Inside::

    cases.py       the table: each attack, its rows, what a defence has to achieve. Open this first
    scene.py       a cluster whose packets are bytes, with places for attackers; post.py: what one member decides
    envelopes.py   messages as datagrams; letters.py: what users say; audits.py: who asks whom what it heard;
                   comparisons.py: and whom it sees
    defences.py    what is on; keys.py: of members; plays.py: letters and who says them; outcome.py: in numbers
    eavesdropper, tamperer, liar, two_faced, divider, dropper, replayer, flooder, sybil, eclipse; price: nobody attacks
"""
