# SPDX-License-Identifier: Apache-2.0
"""What the cells say about locks, in sentences. Pure: worked out from them, and from what could not be measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from .cells import Cells
from .table import shown

FAILOVER, PAUSE, CRASH = "failover-stalled", "pause", "crash"
HURTS = (FAILOVER, PAUSE, CRASH)
FREE, HANDED = "uncontended", "handover"
AB_BA, FORGOTTEN, DEAD = "ab-ba", "forgotten-unlock", "dead-holder"
#: Scenario → schemes that promise one holder at a time in it.
PROMISES: Mapping[str, tuple[str, ...]] = {
    FAILOVER: ("holdfast+wait", "quorum"),
    PAUSE: ("holdfast+wait", "holdfast-no-wait", "fair", "quorum", "zookeeper", "etcd", "postgres"),
    CRASH: ("holdfast+wait", "holdfast-no-wait", "fair", "quorum", "zookeeper", "etcd", "postgres"),
}
#: Scenario → schemes that have to show the problem: a lab that cannot show it shows nothing.
CONTROLS: Mapping[str, tuple[str, ...]] = {FAILOVER: ("holdfast-no-wait", "minimal"), PAUSE: ("minimal",)}
#: Back ends that agree among servers before they answer.
AGREED = ("zookeeper", "etcd")


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Where it was measured. missing: why a server was not there. failed: why a scheme has no costs. own_servers: costs
    are of the lab's own. rounds: of the costs. unrenewed_leases: how long a lock that nobody renews was taken for."""

    missing: Mapping[str, str] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)
    ttl_s: float = 2.0
    own_servers: bool = True
    rounds: int = 3
    unrenewed_leases: int = 3


def broken(cells: Cells) -> list[str]:
    """What must not be: two holders where one was promised, tokens that went back, a lab that shows no problem."""
    found = [f"BROKEN: {scheme} was granted twice {times} times under {scenario}"  # guard: a promise not kept
             for scenario, schemes in PROMISES.items() for scheme in schemes
             if (times := cells.value(scheme, scenario, "double_grants"))]
    found += [f"BROKEN: a later holder of {scheme} was given no larger token, {back} times" for scheme in cells.schemes
              if (back := cells.value(scheme, FAILOVER, "tokens_went_back"))]
    found += [f"BROKEN: {scheme} was granted twice by nothing under {scenario}, so that the noughts of the others mean "
              f"nothing" for scenario, schemes in CONTROLS.items() for scheme in schemes
              if cells.value(scheme, scenario, "double_grants") == 0]  # guard: it must be able to show the problem
    if cells.value("together", AB_BA, "timeouts"):
        found.append("BROKEN: locks that were taken together waited for one another in a circle")
    return found


def advice(cells: Cells, setting: Setting) -> list[str]:
    """All of it: what went wrong first, then each danger, what costs what, what fits what, and what is not known."""
    return [*broken(cells), *_failover(cells), *_pause(cells), *_crash(cells, setting), *_deadlock(cells),
            *_costs(cells), *_fits(cells), *_unknown(setting)]


def _names(schemes: Iterable[str]) -> str:
    return ", ".join(schemes)


def _with(cells: Cells, scenario: str, metric: str) -> dict[str, float]:
    return {s: value for s in cells.schemes if (value := cells.value(s, scenario, metric)) is not None}


def _failover(cells: Cells) -> list[str]:
    doubles, rounds = _with(cells, FAILOVER, "double_grants"), _with(cells, FAILOVER, "rounds")
    told = []
    if twice := [f"{s} {shown(n)} of {shown(rounds.get(s))}" for s, n in doubles.items() if n]:
        told.append(f"a failover to a replica that had not heard of the grant: granted twice {_names(twice)}. There "
                    f"only a fence at the resource helps")
    if once := [s for s, n in doubles.items() if not n]:
        told.append(f"never granted twice by a failover: {_names(once)}")
    if cells.value("holdfast+wait", FAILOVER, "refused"):
        told.append("holdfast+wait refuses while no replica confirms: it chooses to have no holder rather than two. "
                    "Whoever cannot wait for a replica takes the fence instead")
    if cells.value("holdfast+min-replicas", FAILOVER, "double_grants"):
        told.append("min-replicas-to-write is a window and no fence: until min-replicas-max-lag has passed the master "
                    "grants as if nothing had happened")
    return told


def _pause(cells: Cells) -> list[str]:
    late, refused = _with(cells, PAUSE, "late_writes"), _with(cells, PAUSE, "writes_refused")
    told = []
    if held_off := [s for s, n in refused.items() if n]:
        told.append(f"a holder that was stopped beyond its lease wrote late, whatever the lock: "
                    f"{_names(s for s, n in late.items() if n)}. The guard refused those of {_names(held_off)}")
    if let_in := [s for s in late if cells.value(s, PAUSE, "double_grants")]:
        told.append(f"nothing could refuse the late writes of {_names(let_in)}: it has no fencing token")
    return told


def _crash(cells: Cells, setting: Setting) -> list[str]:
    back = _with(cells, CRASH, "recovery_s")
    if not back:
        return []
    each = _names(f"{s} {shown(value)} s" for s, value in sorted(back.items(), key=lambda pair: pair[1]))
    told = [(f"after a holder's death the next one had the lock within {each}; the lease was {shown(setting.ttl_s)} s, "
             f"and what was left of it counts. A shorter lease is sooner free, and sooner lost to a pause")]
    if "minimal" in back:
        told.append(f"minimal is not renewed, so its lease has to outlast the work: it was given "
                    f"{setting.unrenewed_leases} times the others', and its dead are waited for as much longer")
    return told


def _deadlock(cells: Cells) -> list[str]:
    told = []
    if vain := cells.value("one-by-one", AB_BA, "timeouts"):
        told.append(f"two locks in opposite order, one by one: {shown(vain)} of "
                    f"{shown(cells.value('one-by-one', AB_BA, 'tries'))} tries waited until they gave up; in the order "
                    f"of their names or by locks.together(): "
                    f"{shown(cells.value('together', AB_BA, 'timeouts'))}")
    freed = cells.value("max-hold", FORGOTTEN, "freed_s")
    if cells.value("renewed", FORGOTTEN, "stuck") and freed is not None:
        told.append(f"a lock that a living holder forgets is renewed for ever; with max_hold_s it was free after "
                    f"{shown(freed)} s. Give max_hold_s wherever a handler can hang")
    if cells.value("no-expiry", DEAD, "stuck"):
        told.append("a lock without expiry outlives its dead holder: somebody has to find it and delete it")
    return told


def _costs(cells: Cells) -> list[str]:
    told = []
    if p50 := _with(cells, FREE, "p50_us"):
        each = _names(f"{s} {shown(value)} µs" for s, value in sorted(p50.items(), key=lambda pair: pair[1]))
        told.append(f"acquire and release that nobody else wants: {each}")
    base, wait = p50.get("holdfast-no-wait"), p50.get("holdfast+wait")
    if base and wait:
        told.append(f"a replica's word costs {shown(wait / base)} times the time of the master's alone")
    if handed := _with(cells, HANDED, "p50_ms"):
        slow = [f"{s} {shown(v)} ms" for s, v in handed.items() if v > 10 * min(handed.values())]
        quick = min(handed, key=lambda s: handed[s])
        told.append(f"handed over soonest: {quick}, {shown(handed[quick])} ms"
                    + (f"; who polls waits longer: {_names(slow)}" if slow else ""))
    return told


def _fits(cells: Cells) -> list[str]:
    """From criteria to back end, by what was measured."""
    doubles = _with(cells, FAILOVER, "double_grants")
    told = []
    if "holdfast-no-wait" in doubles:
        told.append("a double run costs only time (a cache refill, a report): holdfast-no-wait, the cheapest that is "
                    "renewed and tells its holder of a loss")
    if doubles.get("holdfast+wait") == 0:
        told.append("a double run does harm, and a Redis with a replica is what you have: holdfast+wait, and the fence "
                    "at the resource wherever it can compare a number")
    if doubles.get("quorum") == 0:
        told.append("no replica can be waited for, but three servers that share no fate: quorum; its waiters poll")
    if there := [s for s in AGREED if cells.value(s, CRASH, "recovery_s") is not None]:
        told.append(f"{_names(there)} agree among servers before they grant, so that no failover forgets: if you run "
                    f"one already, or would rather have no holder than two. A pause still needs the fence")
    if cells.value("postgres", CRASH, "recovery_s") is not None:
        told.append("a PostgreSQL is all that you have: postgres; one connection a process, and waiters are not queued")
    if "fair" in _with(cells, FREE, "p50_us"):
        told.append("waiters must not starve: fair; it takes more commands")
    return told


def _unknown(setting: Setting) -> list[str]:
    told = [f"{name} has no cells: {why}" for name, why in setting.missing.items()]
    told += [f"{name} has no costs: {why}" for name, why in setting.failed.items()]
    told.append("ZooKeeper and etcd run here with one server and without waiting for the disk: their costs are a lower "
                "bound, and their failovers were not tried")
    if setting.own_servers:
        told.append("costs are those of servers on this machine, without a network: name yours with --url")
    if setting.rounds == 1:
        told.append("costs were measured in one short round: believe the noughts, and not the ratios")
    return told
