# SPDX-License-Identifier: Apache-2.0
"""Passing on: each interval some members get what they may not have heard. Without news nothing is sent."""

from __future__ import annotations

from ..messages import State
from .effects import Packet
from .members import Member
from .node import COMPOUND_BYTES, Node


def gossip(node: Node) -> None:
    """One turn: packets to some members at random, among them the dead, for a while."""
    room = node.profile.packet_bytes - COMPOUND_BYTES
    for member in node.members.sample(node.profile.gossip_nodes, node.chance, lambda one: _hears(node, one)):
        taken = node.take(room)
        if not taken:
            return
        node.out.append(Packet(member.address, tuple(taken), member.node))
    if len(node.news) or len(node.letters):
        node.wake_gossip()


def _hears(node: Node, member: Member) -> bool:
    if member.node == node.name:
        return False
    if member.state is State.DEAD:  # guard: the dead are told, so that the living among them can refute it
        return node.now - member.since <= node.profile.gossip_to_the_dead_s
    return member.state is not State.LEFT
