# SPDX-License-Identifier: Apache-2.0
"""All that is known, at once, with one peer: what gossip missed is found here (anti-entropy), and who enters begins so.

An exchange tells what a peer holds, maybe of long ago. So it can bring somebody to life, but not kill: a death in it
becomes an accusation, which the accused has time to refute. Source: github.com/hashicorp/memberlist, state.go; of
reconnecting, github.com/hashicorp/serf, serf/serf.go.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..messages import Address, Alive, Dead, NodeState, State, Suspect, Versions
from .claims import alive, dead, suspect
from .effects import Exchange, Refused
from .formulas import push_pull_s
from .members import States
from .node import PUSH_PULL, RECONNECT, Node
from .order import below


def push_pull(node: Node) -> None:
    """Exchanges with one live peer: whom ``partners`` wants most, else one at random."""
    set_push_pull(node)
    for name in node.partners(node.chance) if node.partners is not None else ():
        wanted = node.members.get(name)
        if wanted is not None and wanted.state is State.ALIVE and name != node.name:
            node.out.append(Exchange(wanted.address, name))
            return  # guard: only with whom it is wanted
    peers = node.members.sample(1, node.chance, lambda one: one.state is State.ALIVE and one.node != node.name)
    node.out.extend(Exchange(peer.address, peer.node) for peer in peers)


def set_push_pull(node: Node, delay_s: float = 0.0) -> None:
    """The next one is due an interval from now."""
    if node.profile.push_pull_interval_s:
        node.timers.set(PUSH_PULL, node.now + delay_s + push_pull_s(node.profile, len(node.members)))


def reconnect(node: Node) -> None:
    """Tries one of those that failed: the more of them there are, the likelier, so that a whole cluster does not call
    one member at once. This is how the two halves of a cluster that was cut find each other again."""
    set_reconnect(node)
    kept_s = node.profile.reconnect_for_s
    for name in [name for name, (_, since) in node.failed.items() if node.now - since > kept_s]:
        del node.failed[name]
    others = node.members.count(State.ALIVE) + node.members.count(State.SUSPECT)
    if not node.failed or node.leaving or node.chance.random() > len(node.failed) / max(1, others):
        return
    name = list(node.failed)[below(node.chance, len(node.failed))]
    node.out.append(Exchange(node.failed[name][0], name, join=True))


def set_reconnect(node: Node, delay_s: float = 0.0) -> None:
    """The next one is due an interval from now."""
    if node.profile.reconnect_interval_s:
        node.timers.set(RECONNECT, node.now + delay_s + node.profile.reconnect_interval_s)


def merge(node: Node, states: States | Iterable[NodeState], source: Address) -> None:
    """Takes over what a peer knows, unless somebody in it could not understand somebody here."""
    news = list(states.news_for(node.members) if isinstance(states, States) else states)
    reason = misfit(node, news)
    if reason:
        node.out.append(Refused(source, reason))
        return
    for each in news:
        if each.state == State.ALIVE:
            alive(node, Alive(each.incarnation, each.node, each.host, each.port, each.meta, each.versions))
        elif each.state == State.LEFT:
            dead(node, Dead(each.incarnation, each.node, each.node))
        elif each.state in (State.DEAD, State.SUSPECT):  # guard: nobody dies by hearsay
            suspect(node, Suspect(each.incarnation, each.node, node.name))


def misfit(node: Node, news: Iterable[NodeState]) -> str:
    """Whose version somebody else does not understand, in words; empty where all fit. Of the members alive each has to
    understand what every member speaks."""
    theirs = {(each.versions, each.state == State.ALIVE): each.node for each in news if each.versions is not None}
    spoken: dict[Versions, str] = {}
    alive_ones: set[Versions] = set()
    for (versions, living), name in [*theirs.items(), *_ours(node).items()]:
        spoken[versions] = name
        if living:
            alive_ones.add(versions)
    if not alive_ones:
        return ""
    protocols = max(v.protocol_min for v in alive_ones), min(v.protocol_max for v in alive_ones)
    delegates = max(v.delegate_min for v in alive_ones), min(v.delegate_max for v in alive_ones)
    for versions, name in spoken.items():
        if not protocols[0] <= versions.protocol <= protocols[1]:
            return f"{name!r} speaks protocol {versions.protocol}; all understand {protocols[0]} to {protocols[1]}"
        if not delegates[0] <= versions.delegate <= delegates[1]:
            return (f"{name!r} speaks version {versions.delegate} of the layer above; all understand {delegates[0]} to "
                    f"{delegates[1]}")
    return ""


def _ours(node: Node) -> dict[tuple[Versions, bool], str]:
    return {(each.versions, each.state is State.ALIVE): each.node for each in node.members.distinct()
            if each.versions is not None}
