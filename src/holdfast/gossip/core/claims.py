# SPDX-License-Identifier: Apache-2.0
"""Whom to believe: claims that a member is alive, suspect or dead.

A claim speaks of an **incarnation**, a number that only the member itself may raise. ::

    alive(i)    beats  alive, suspect, dead, left of incarnations < i
    suspect(i)  beats  alive(≤ i)
    dead(i)     beats  alive(≤ i), suspect(≤ i)

So an accusation beats the life it accuses, and the accused beats the accusation by a higher incarnation. What is
believed is passed on; what is not goes no further, and that is what ends each rumour. Source: A. Das, I. Gupta,
A. Motivala, *SWIM*, 2002, and github.com/hashicorp/memberlist, state.go.

Nobody is killed by hearsay: what an exchange says about a death is an accusation here (``exchange.py``).
"""

from __future__ import annotations

from ..messages import Alive, Dead, Ping, State, Suspect, Versions
from .effects import Changed, Conflict, Departed, Judged, Packet, Refuted, StreamPing
from .formulas import confirmations_wanted, suspicion_min_s
from .members import STREAM_PROTOCOL, Member, held
from .node import NUMBER_MAX, SUSPICION, Node
from .suspicion import Suspicion

#: Marks the goodbye among the news.
GOODBYE = "goodbye"


def alive(node: Node, claim: Alive) -> None:
    """Somebody is said to be alive."""
    if claim.incarnation < 1 or _unsound(claim.versions):
        return
    member = node.members.get(claim.node)
    if member is not None and not _its_address(node, member, claim):
        node.out.append(Conflict(member, claim))  # guard: a live member's name is not taken by another address
    elif claim.node == node.name:
        _about_me(node, claim)
    elif member is None:
        _entered(node, claim)
    elif claim.incarnation > member.incarnation or claim.address != member.address:  # guard: older lives are over
        _renewed(node, member, claim)


def suspect(node: Node, claim: Suspect) -> None:
    """Somebody is accused of being dead."""
    member = node.members.get(claim.node)
    if member is None or claim.incarnation < member.incarnation:  # guard: an old accusation is refuted already
        node.outdated |= claim.node == node.name
        return
    suspicion = node.suspicions.get(claim.node)
    if suspicion is not None:
        if suspicion.confirm(claim.accuser):
            if not suspicion.asked:
                node.timers.set((SUSPICION, claim.node), max(node.now, suspicion.until()))
            node.spread(claim)
    elif member.state is State.ALIVE:
        if claim.node == node.name:
            refute(node, claim.incarnation, claim.accuser)
        else:
            _suspected(node, member, claim)


def dead(node: Node, claim: Dead) -> None:
    """Somebody is said to be dead, or says goodbye."""
    member = node.members.get(claim.node)
    if member is None or claim.incarnation < member.incarnation:  # guard: an old death is refuted already
        node.outdated |= claim.node == node.name
        return
    if claim.node == node.name and not node.leaving:
        refute(node, claim.incarnation, claim.accuser)  # guard: a live member contradicts its death
        return
    _cleared(node, claim.node)
    if member.gone:
        return
    state = State.LEFT if claim.graceful else State.DEAD
    member = _put(node, member, state, claim.incarnation)
    node.spread(claim, GOODBYE if claim.node == node.name else None)
    if state is State.DEAD:
        node.failed[claim.node] = member.address, node.now
    node.out.append(Changed("left" if state is State.LEFT else "failed", member, claim.accuser))


def expired(node: Node, name: str) -> None:
    """Nobody refuted an accusation in time: this member declares the death, once a last ping stayed unanswered, and
    whoever is asked about deaths lets it."""
    member, suspicion = node.members.get(name), node.suspicions.get(name)
    if member is None or suspicion is None:
        return
    if suspicion.asked or not node.profile.lifeguard.last_word:
        if _may_bury(node, member):  # guard: a member's own word is asked about as well
            dead(node, Dead(member.incarnation, name, node.name))
        else:
            node.timers.set((SUSPICION, name), node.now + suspicion.min_s)
    else:  # guard: whoever still answers is not buried
        suspicion.asked = node.number()
        node.last_words[suspicion.asked] = name
        ping = Ping(suspicion.asked, name, node.host, node.port, node.name)
        until = node.now + node.profile.probe_timeout_s
        node.out.append(Packet(member.address, (ping, Suspect(member.incarnation, name, node.name)), name))
        if member.understands(STREAM_PROTOCOL):
            node.out.append(StreamPing(member.address, ping, until))
        node.timers.set((SUSPICION, name), until)


def hasten(node: Node, name: str, incarnation: int) -> None:
    """Somebody wants to know what this member finds: a suspicion of that incarnation ends now, with its last ping."""
    member, suspicion = node.members.get(name), node.suspicions.get(name)
    if member is not None and suspicion is not None and not suspicion.asked and member.incarnation == incarnation:
        expired(node, name)


def _may_bury(node: Node, member: Member) -> bool:
    if node.burial is None:
        return True
    judged = node.burial(member, node.members.live, node.now, node.chance)
    node.out.append(Judged(member.node, member.incarnation, judged.allowed, judged.acts))
    return judged.allowed


def spoke(node: Node, seq_no: int) -> None:
    """An accused member answered the last ping: it is given the shortest time again, to let its refutation come, but
    not for ever, since who lives can refute."""
    name = node.last_words.pop(seq_no, None)
    suspicion = None if name is None else node.suspicions.get(name)
    if suspicion is not None and suspicion.answered < node.profile.suspicion_max_mult:  # guard: not for ever
        suspicion.asked = 0
        suspicion.answered += 1
        node.timers.set((SUSPICION, name), node.now + suspicion.min_s)


def refute(node: Node, accused: int, by: str = "") -> None:
    """Contradicts what was said of incarnation ``accused`` of this member. It raises the score of its health: whoever
    is accused may well have been slow."""
    incarnation = min(max(node.incarnation, accused) + 1, NUMBER_MAX)  # guard: above the accusation
    node.health.add(1)
    proclaim(node, incarnation)
    node.out.append(Refuted(incarnation, by))


def proclaim(node: Node, incarnation: int) -> None:
    """Says that this member is alive in a new incarnation."""
    node.incarnation = incarnation
    claim = Alive(incarnation, node.name, node.host, node.port, node.meta, node.versions)
    if node.members.get(node.name) is None:
        node.members.enter(held(claim, State.ALIVE, node.now, node.versions), node.chance)
    else:
        node.members.put(held(claim, State.ALIVE, node.me.since, node.versions))
    node.spread(claim)


def leave(node: Node) -> None:
    """Says goodbye; over at once where nobody is left to hear it."""
    if node.leaving:
        return
    node.leaving = True
    dead(node, Dead(node.incarnation, node.name, node.name))
    if not node.members.count(State.ALIVE) + node.members.count(State.SUSPECT):
        node.out.append(Departed())


def _unsound(versions: Versions | None) -> bool:
    return versions is not None and (versions.protocol_min == 0 or versions.protocol_min > versions.protocol_max)


def _its_address(node: Node, member: Member, claim: Alive) -> bool:
    """Is it the one known, or may it take the name over: at once from who left, later from the dead, if at all?"""
    if claim.address == member.address or (member.state is State.LEFT and claim.node != node.name):
        return True
    after_s = node.profile.dead_reclaim_s
    return member.state is State.DEAD and 0 < after_s < node.now - member.since


def _about_me(node: Node, claim: Alive) -> None:
    """An echo of what this member said, or of an earlier life of it, or a lie: the last two are contradicted."""
    if node.leaving or not node.started or claim.incarnation < node.incarnation:
        return
    same = claim.meta == node.meta and claim.versions in (None, node.versions)
    if claim.incarnation > node.incarnation or not same:
        refute(node, claim.incarnation)


def _entered(node: Node, claim: Alive) -> None:
    member = held(claim, State.ALIVE, node.now, claim.versions)
    node.members.enter(member, node.chance)
    node.failed.pop(claim.node, None)
    node.spread(claim)
    node.out.append(Changed("joined", member))


def _renewed(node: Node, before: Member, claim: Alive) -> None:
    _cleared(node, claim.node)
    node.failed.pop(claim.node, None)
    since = before.since if before.state is State.ALIVE else node.now
    member = held(claim, State.ALIVE, since, before.versions if claim.versions is None else claim.versions)
    node.members.put(member)
    node.spread(claim)
    if before.gone:
        node.out.append(Changed("joined", member))
    elif before.state is State.SUSPECT:
        node.out.append(Changed("restored", member))
    if not before.gone and (member.meta, member.versions, member.address) != (
            before.meta, before.versions, before.address):
        node.out.append(Changed("updated", member))


def _suspected(node: Node, member: Member, claim: Suspect) -> None:
    member = _put(node, member, State.SUSPECT, claim.incarnation)
    count = len(node.members)
    min_s = suspicion_min_s(node.profile, count)
    suspicion = Suspicion(claim.accuser, node.now, confirmations_wanted(node.profile, count), min_s,
                          min_s * node.profile.suspicion_max_mult)
    node.suspicions[claim.node] = suspicion
    node.timers.set((SUSPICION, claim.node), suspicion.until())
    node.spread(claim)
    node.out.append(Changed("suspected", member, claim.accuser))


def _cleared(node: Node, name: str) -> None:
    suspicion = node.suspicions.pop(name, None)
    if suspicion is not None:
        node.timers.cancel((SUSPICION, name))
        node.last_words.pop(suspicion.asked, None)


def _put(node: Node, member: Member, state: State, incarnation: int) -> Member:
    changed = Member(member.node, member.host, member.port, member.meta, member.versions, incarnation, state, node.now)
    node.members.put(changed)
    return changed
