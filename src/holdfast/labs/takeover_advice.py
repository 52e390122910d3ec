# SPDX-License-Identifier: Apache-2.0
"""What the cells say about how a dead worker's work comes back, in sentences. Pure: worked out from the cells."""

from __future__ import annotations

from .cells import Cells
from .table import shown

#: Schemes of Holdfast: what they promise is checked.
OURS = ("lease", "partitions")
#: The scheme that has to run a slow message twice: a lab that cannot show the problem shows nothing.
BASELINE = "idle-claim"
KILL, SLOW = "kill", "slow"
#: A stop is worth a word from so many distances of two messages on.
_STOP = 5
MOCK = ("rebalance was measured on librdkafka's mock cluster, which is not a Kafka broker: the group's protocol is "
        "real; disks, replicas and network are not. A broker allows no session below group.min.session.timeout.ms, "
        "which is 6 s unless changed, and clients ask for 45 s unless told otherwise")


def broken(cells: Cells) -> list[str]:
    """What must not be: something of ours lost, or handled twice though alive; a lab that cannot show the problem."""
    # guard: what is lost is said, and the command answers 1
    found = [f"BROKEN: {scheme} lost {lost} messages under {scenario}" for scheme in OURS for scenario in (KILL, SLOW)
             if (lost := cells.value(scheme, scenario, "lost"))]
    found += [f"BROKEN: {scheme} took {twice} messages from a worker that was alive, and handled them twice"
              for scheme in OURS if (twice := cells.value(scheme, SLOW, "handled_twice"))]
    if cells.value(BASELINE, SLOW, "handled_twice") == 0:
        found.append(f"BROKEN: {BASELINE} handled nothing twice under {SLOW}, so that the noughts of the others mean "
                     f"nothing")
    return found


def advice(cells: Cells, every_s: float, no_kafka: str) -> list[str]:
    """All of it. every_s: the distance of two messages. no_kafka: why there is no rebalance; empty: there is one."""
    told = [f"rebalance has no cells: {no_kafka}"] if no_kafka else [MOCK, *_waits(cells), *_sessions(cells)]
    return [*broken(cells), *(_of(cells, scheme) for scheme in cells.schemes), *_stops(cells, every_s), *_twice(cells),
            *told]


def _of(cells: Cells, scheme: str) -> str:
    def said(metric: str) -> str:
        return shown(cells.value(scheme, KILL, metric))

    return (f"{scheme} (dead after {said('timeout_s')} s without a sign): {_back(cells, scheme)}; those alive began "
            f"nothing for {said('stop_s')} s at most; {said('handled_twice')} handled twice, {said('lost')} lost")


def _back(cells: Cells, scheme: str) -> str:
    back = cells.value(scheme, KILL, "recovery_s")
    if back is not None:
        return f"the dead worker's messages were handled by others {shown(back)} s after its death"
    if cells.value(scheme, KILL, "lost"):
        return "not all messages came back"
    return "the dead worker happened to hold nothing"


def _stops(cells: Cells, every_s: float) -> list[str]:
    """Whose survivors stood still for longer than the rate explains, and than the mock cluster made them."""
    own = {s: stop - (cells.value(s, KILL, "mock_wait_s") or 0) for s in cells.schemes
           if (stop := cells.value(s, KILL, "stop_s")) is not None}
    if still := {s: v for s, v in own.items() if v > _STOP * every_s}:
        return ["the world stood still under " + ", ".join(f"{s} ({shown(v)} s)" for s, v in still.items())
                + f", while a message came every {shown(every_s)} s: one death was felt by every worker"]
    return []


def _twice(cells: Cells) -> list[str]:
    """Who takes messages from the living."""
    took = [s for s in cells.schemes if cells.value(s, SLOW, "handled_twice")]
    return [f"{s} handled a message twice whose handler was alive and took three leases: idle time cannot tell slow "
            f"from dead" for s in took]


def _waits(cells: Cells) -> list[str]:
    """What of the rebalance is the mock cluster's doing."""
    waits = {s: wait for s in cells.schemes if (wait := cells.value(s, KILL, "mock_wait_s")) is not None}
    stood = [s for s, wait in waits.items() if (cells.value(s, KILL, "stop_s") or 0) > wait / 2]
    more = [f"handled_twice of {s} is more than on a broker: the mock cluster refuses commits while it waits for "
            f"members, and a broker takes them" for s in waits if cells.value(s, KILL, "handled_twice")]
    told = [f"of {s}'s recovery_s {shown(wait)} s are the mock cluster's own, each time members join anew: it waits "
            f"that long, where a broker goes on when the last has joined" for s, wait in waits.items()]
    return told + more + [
        f"under {s} every worker stood still for that wait: on a broker it lasts until the slowest one has ended "
        f"its handler and joined" for s in stood]


def _sessions(cells: Cells) -> list[str]:
    """Timeouts that could not be made equal."""
    lease, session = (cells.value(s, KILL, "timeout_s") for s in ("lease", "rebalance"))
    if lease is None or session is None or lease == session:
        return []
    why = (f"the session of rebalance is {shown(session)} s and the lease {shown(lease)} s, since the mock cluster "
           f"drops shorter sessions while it waits for the first members: compare recovery_s less timeout_s, or run "
           f"without --quick, where both are equal")
    return [why]
