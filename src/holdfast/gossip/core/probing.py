# SPDX-License-Identifier: Apache-2.0
"""Who is there: one ping an interval, help where it stays unanswered, an accusation where that brings nothing. ::

    tick ── ping ──────────────▶ target        an ack ends it at any time
     │ probe_timeout_s
     ├──── indirect ping ──▶ helpers ── ping ──▶ target;   a helper that hears nothing sends a nack
     ├──── ping by stream ─────▶ target
     │ probe_interval_s × (health + 1)
     └──▶ answered by stream only: said so. Not at all: accused, and this member's health is worse by each nack missing

Source: SWIM and Lifeguard (see ``claims.py``, ``profiles.py``), github.com/hashicorp/memberlist, state.go and net.go.
"""

from __future__ import annotations

from ..messages import Ack, Address, IndirectPing, Nack, Ping, State, Suspect
from .claims import spoke, suspect
from .effects import Changed, Packet, Probed, StreamOnly, StreamPing
from .members import NACK_PROTOCOL, STREAM_PROTOCOL, Member
from .node import PROBE, PROBE_END, PROBE_TIMEOUT, RELAY, Node, Probe, Relay


def tick(node: Node) -> None:
    """Probes the next member, once the last probe is over."""
    if node.probe is not None:
        return
    member = _candidate(node)
    node.timers.set(PROBE, node.now + node.profile.probe_interval_s)
    if member is not None:
        begin(node, Probe(node.number(), member, node.now))


def begin(node: Node, probe: Probe) -> None:
    """Pings a member. If it stands accused it is told so at once, to be able to refute it: Lifeguard's buddy system."""
    node.probe, member = probe, probe.member
    node.probes += not probe.again
    ping = _ping(node, probe.seq_no, member.node)
    node.timers.set(PROBE_TIMEOUT, node.now + node.profile.probe_timeout_s)
    node.timers.set(PROBE_END, node.now + node.health.stretched(node.profile.probe_interval_s))
    if member.state is State.ALIVE or not node.profile.lifeguard.buddy:
        node.send(member.address, ping, member.node)
    else:  # guard: the accused is the first to hear of it
        accusation = Suspect(member.incarnation, member.node, node.name)
        node.out.append(Packet(member.address, (ping, accusation), member.node))


def timed_out(node: Node) -> None:
    """No ack so far: helpers are asked, and the member itself by stream."""
    probe = node.probe
    if probe is None:
        return
    member = probe.member
    helpers = node.members.sample(node.profile.indirect_checks, node.chance, lambda one: (
        one.state is State.ALIVE and one.node not in (node.name, member.node)))
    for helper in helpers:
        nack = helper.understands(NACK_PROTOCOL) and node.profile.lifeguard.probe
        probe.nacks_wanted += nack
        node.send(helper.address, IndirectPing(probe.seq_no, member.host, member.port, member.node, nack,
                                               node.host, node.port, node.name), helper.node)
    if member.understands(STREAM_PROTOCOL):
        until = node.timers.due(PROBE_END) or node.now
        node.out.append(StreamPing(member.address, _ping(node, probe.seq_no, member.node), until))


def ended(node: Node) -> None:
    """The deadline of a probe: an accusation, unless a stream got through."""
    probe = node.probe
    if probe is None:
        return
    _finish(node)
    if probe.streamed:
        node.health.add(-1)
        node.out.append(StreamOnly(probe.member.node))
        return
    node.probes_failed += 1
    # Helpers that do not even say "nothing heard" make it likely that nobody hears this member.
    node.health.add(probe.nacks_wanted - probe.nacks if probe.nacks_wanted else 1)  # guard: silence is one's own first
    suspect(node, Suspect(probe.member.incarnation, probe.member.node, node.name))


def acked(node: Node, ack: Ack) -> None:
    """An answer: to the own probe, to one for somebody else, who gets it under their number, or to a last ping."""
    probe = node.probe
    if probe is not None and ack.seq_no == probe.seq_no:
        node.health.add(-1)
        waited_s = node.now - probe.began
        if waited_s <= node.profile.probe_timeout_s:
            node.out.append(Probed(probe.member.node, waited_s, ack.payload))
        _finish(node)
        return
    relay = node.relays.pop(ack.seq_no, None)
    if relay is not None:
        node.timers.cancel((RELAY, ack.seq_no))
        node.send(relay.requester, Ack(relay.seq_no))
    else:
        spoke(node, ack.seq_no)


def nacked(node: Node, nack: Nack) -> None:
    """A helper heard nothing of the target: at least it hears us."""
    probe = node.probe
    if probe is not None and nack.seq_no == probe.seq_no:
        probe.nacks = min(probe.nacks + 1, probe.nacks_wanted)


def streamed(node: Node, seq_no: int) -> None:
    """The target answered by stream. An ack by datagram is still waited for: it is the better news."""
    if node.probe is not None and seq_no == node.probe.seq_no:
        node.probe.streamed = True
    else:
        spoke(node, seq_no)


def pinged(node: Node, ping: Ping, source: Address) -> None:
    """Answers, unless somebody else was meant: an address changes hands."""
    if ping.node and ping.node != node.name:  # guard: nobody answers for another
        return
    named = ping.source_host and ping.source_port
    address = (ping.source_host, ping.source_port) if named else source
    node.send(address, Ack(ping.seq_no, node.payload), ping.source_node)


def asked(node: Node, request: IndirectPing, source: Address) -> None:
    """Pings for somebody else."""
    if len(node.relays) >= node.profile.relays_max:  # guard: pings for others have a bound
        node.relays_dropped += 1
        return
    named = request.source_host and request.source_port
    requester = (request.source_host, request.source_port) if named else source
    seq_no = node.number()
    node.relays[seq_no] = Relay(request.seq_no, requester, request.nack)
    node.timers.set((RELAY, seq_no), node.now + node.profile.probe_timeout_s)
    node.send((request.host, request.port), _ping(node, seq_no, request.node), request.node)


def relay_ended(node: Node, seq_no: int) -> None:
    """Heard nothing for somebody else, who is told if they understand it."""
    relay = node.relays.pop(seq_no, None)
    if relay is not None and relay.nack:
        node.send(relay.requester, Nack(relay.seq_no))


def void(node: Node) -> None:
    """A probe that says nothing, because this member slept through it: the same one again, under the same number, since
    the answer to the first may lie in the socket. Not for ever: see ``lag.py``."""
    probe = node.probe
    if probe is None or probe.again >= node.profile.suspicion_max_mult:  # guard: not for ever
        return
    _finish(node)
    member = node.members.get(probe.member.node)
    if member is not None and not member.gone:
        begin(node, Probe(probe.seq_no, member, node.now, probe.again + 1))


def _candidate(node: Node) -> Member | None:
    for _ in range(len(node.members) + 1):
        member = node.members.turn(node.chance)
        if member is None:
            _forget(node)
        elif member.node != node.name and not member.gone:
            return member
    return None


def _forget(node: Node) -> None:
    """Between rounds: whoever was gone for long enough is no longer in the table."""
    kept_s = node.profile.gossip_to_the_dead_s
    for member in node.members.forget(lambda one: one.node != node.name and node.now - one.since > kept_s):
        node.out.append(Changed("forgotten", member))


def _finish(node: Node) -> None:
    node.probe = None
    node.timers.cancel(PROBE_TIMEOUT)
    node.timers.cancel(PROBE_END)
    due = node.timers.due(PROBE)
    if due is None:  # its time came while the probe was under way
        node.timers.set(PROBE, node.now)


def _ping(node: Node, seq_no: int, name: str) -> Ping:
    return Ping(seq_no, name, node.host, node.port, node.name)
