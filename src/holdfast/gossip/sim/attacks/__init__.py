# SPDX-License-Identifier: Apache-2.0
"""Attacks on a simulated cluster, with each defence off and on: who believes what is false, who dies, who hears.

The members are the core that ships, and every decision against an attacker is the one that ships: ``gossip.signing``,
``gossip.trust``, ``gossip.defence``. What is simulated is the clock, the way of packets, and the attacker.
"""
