# SPDX-License-Identifier: Apache-2.0
"""All attacks, each without and with the defences that are for it, and what these are to achieve.

``ATTACKS`` is the table: its lab, its tests and its documentation read it. An ``Aim`` says what is to be seen without a
defence, for an attack that does no harm shows nothing, and what with it. Some rows have no aim: they show where a
defence ends.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from statistics import mean, median
from typing import Final, Literal

from ...._base.chance import Chance
from . import divider, dropper, eavesdropper, eclipse, flooder, liar, price, replayer, sybil, tamperer, two_faced
from .defences import NONE, Defences
from .outcome import Outcome

#: (defences, members, chance) → what came of it.
Run = Callable[[Defences, int, Chance], Outcome]
Metric = Literal["coverage", "t50_s", "t99_s", "false_accepted", "false_deaths", "read", "share", "refused",
                 "unaware", "noticed", "banned", "false_reports", "bytes_s"]


@dataclass(frozen=True)
class Aim:
    """metric: by which harm is seen. without: row, and the value from which on it is harm. with_: row, and the value
    that it has to reach. Which is better, more or less, is seen from the two values. does: what the defence does, in
    words."""

    metric: Metric
    without: str
    harm: float
    with_: str
    good: float
    does: str

    def missed(self, rows: Mapping[str, Outcome]) -> str:
        """What is not so; empty where both are."""
        bad, good = (_value(rows, row, self.metric) for row in (self.without, self.with_))
        less = self.good < self.harm
        if bad is not None and (bad < self.harm if less else bad > self.harm):  # guard: harm. Or nothing is shown
            return f"{self.metric} is {bad:.3g} without it: the attack does no harm, so it shows nothing"
        if good is not None and (good > self.good if less else good < self.good):
            return f"{self.metric} is {good:.3g} with {self.with_}, and was to be {self.good:g}"
        return ""


@dataclass(frozen=True)
class Attack:
    """does: what the attacker does, in words. rows: with which defences. scale: of the members that are asked for, so
    many; swarms are large."""

    name: str
    does: str
    run: Run
    rows: Sequence[Defences]
    aims: Sequence[Aim] = ()
    scale: float = 1.0

    def played(self, defences: Defences, members: int, chances: Iterable[Chance]) -> Outcome:
        """All runs together: times by the middle one, everything else on average."""
        count = max(12, round(members * self.scale))
        return together([self.run(defences, count, chance) for chance in chances])


def together(runs: Sequence[Outcome]) -> Outcome:
    """Of several runs."""
    found: dict[str, float] = {}
    for each in fields(Outcome):
        values = [value for run in runs if (value := getattr(run, each.name)) is not None]
        if values:
            found[each.name] = median(values) if each.name in ("t50_s", "t99_s") else mean(values)
    return Outcome(**found)


def _value(rows: Mapping[str, Outcome], row: str, metric: Metric) -> float | None:
    found = rows.get(row)
    value: float | None = None if found is None else getattr(found, metric)
    return None if value is None or math.isnan(value) else value


_KEY: Final = Defences(encryption=True)
_SIGNED: Final = Defences(encryption=True, signatures=True)
_CERTIFIED: Final = Defences(encryption=True, signatures=True, certificates=True)
_SCORED: Final = Defences(encryption=True, signatures=True, scores=True)
_WATCHED: Final = Defences(encryption=True, signatures=True, watching=True)
_COMPARED: Final = Defences(encryption=True, signatures=True, comparing=True)
_EAGER: Final = Defences(encryption=True, signatures=True, comparing=True, eager=True)
_WINDOWS: Final = Defences(windows=True)
_SEALED: Final = Defences(encryption=True, sealed=True)
_FLOOD: Final = Defences(encryption=True, flood=True)
_AUDIT: Final = Defences(encryption=True, audit=True)
_HEARD: Final = Defences(encryption=True, flood=True, audit=True)
_NETWORKS: Final = Defences(encryption=True, networks=True)
_SEEDS, _PEERS, _ANCHORS = Defences(seeds=True), Defences(peers=True), Defences(peers=True, anchors=True)
ALL: Final = Defences(windows=True, signatures=True, certificates=True, scores=True, networks=True, flood=True,
                      audit=True)

ATTACKS: Final[Mapping[str, Attack]] = {attack.name: attack for attack in (
    Attack("eavesdropper", "listens on the way of all packets", partial(eavesdropper.run, inside=False),
           (NONE, _KEY, _WINDOWS), (
        Aim("read", "none", 1.0, "encryption", 0.0, "whoever has no key reads nothing"),
        Aim("read", "none", 1.0, "windows", 0.0, "nor of native packets"))),
    Attack("eavesdropper inside", "is a member, and has the group's key", partial(eavesdropper.run, inside=True),
           (_KEY, _SEALED), (
        Aim("read", "encryption", 1.0, "encryption + sealed", 0.0, "only the named members read"),)),
    Attack("tamperer", "rewrites 5 % of the packets on their way", partial(tamperer.run, inside=False, part=0.05),
           (NONE, _KEY, _WINDOWS), (
        Aim("false_accepted", "none", 10, "encryption", 0, "what was changed does not open"),
        Aim("false_accepted", "none", 10, "windows", 0, "nor does a native packet"))),
    Attack("tamperer inside", "is a tenth of the members, and rewrites what it passes on",
           partial(tamperer.run, inside=True, part=0.1), (_KEY, _SIGNED), (
        Aim("false_accepted", "encryption", 10, "encryption + signatures", 0,
            "what was rewritten is refused by whoever gets it first"),)),
    Attack("liar in others' names", "is a member, and says in others' names that they or a third one died or left",
           partial(liar.run, lies=liar.forgeries), (_KEY, _SIGNED), (
        Aim("false_deaths", "encryption", 10, "encryption + signatures", 0, "nobody speaks in another's name"),)),
    Attack("liar about meta", "is a member, and says of others what they are", partial(liar.run, lies=liar.metas),
           (_KEY, _SIGNED), (
        Aim("false_accepted", "encryption", 10, "encryption + signatures", 0,
            "only a member itself says where and what it is"),)),
    Attack("liar about addresses", "is a member, and says of others that they are where it is itself",
           partial(liar.run, lies=liar.addresses), (_KEY, _SIGNED)),
    Attack("liar about deaths", "is a member, and declares others dead in its own name",
           partial(liar.run, lies=liar.deaths), (_KEY, _SIGNED, _CERTIFIED), (
        Aim("false_deaths", "encryption + signatures", 10, "encryption + signatures + certificates", 0,
            "one member's word is an accusation, which the accused refutes"),)),
    Attack("league of liars", "is three members, as many as a certificate takes, and declares others dead",
           partial(liar.run, lies=liar.deaths, liars=3), (_SIGNED, _CERTIFIED)),
    Attack("two-faced", "is a member, and signs two letters under one number, one for each half of the others",
           two_faced.run, (_SIGNED, _WATCHED), (
        Aim("unaware", "encryption + signatures", 0.9, "encryption + signatures + watching", 0.0,
            "two letters under one number convict whoever signed them"),
        Aim("banned", "encryption + signatures", 0.1, "encryption + signatures + watching", 1.0,
            "the proof reaches all, and all ban it for good"))),
    Attack("divider", "is a tenth of the members, by whom all others enter, and shows each half of them itself alone",
           partial(divider.run, careful=False), (_SIGNED, _COMPARED), (
        Aim("noticed", "encryption + signatures", 0.1, "encryption + signatures + comparing", 0.95,
            "the view that a divider signs names whom it keeps away"),)),
    Attack("careful divider", "does the same, and signs for each half the view that this half has",
           partial(divider.run, careful=True), (_SIGNED, _COMPARED), scale=0.5),
    Attack("nobody divides", "attacks; members crash, come back and change, while views are compared", divider.nobody,
           (_EAGER, _COMPARED), (
        Aim("false_reports", "encryption + signatures + comparing + eager", 1.0,
            "encryption + signatures + comparing", 0.0, "what does not stay is not told"),), scale=0.7),
    Attack("dropper 60 %", "is 60 % of the members, and passes nothing on", partial(dropper.run, part=0.6),
           (_KEY, _FLOOD, _AUDIT, _HEARD)),
    Attack("dropper 80 %", "is 80 % of the members, and passes nothing on", partial(dropper.run, part=0.8),
           (_KEY, _FLOOD, _AUDIT, _HEARD), (
        Aim("coverage", "encryption", 0.85, "encryption + flood + audit", 0.9,
            "what gossip missed is told directly, or found by asking"),), scale=1.6),
    Attack("replayer", "records packets, and sends them again once some members have restarted", replayer.run,
           (_KEY, _WINDOWS, _SIGNED), (
        Aim("false_accepted", "encryption", 5, "encryption + signatures", 0,
            "who has just started takes nothing that was said before"),)),
    Attack("flooder", "sends everybody 50 letters a second whose signatures do not hold", flooder.run,
           (_SIGNED, _SCORED), (
        Aim("refused", "encryption + signatures", 100, "encryption + signatures + scores", 50,
            "it is not listened to after the first few"),)),
    Attack("Sybil swarm", "has the group's key, and six names for each member, in one network",
           partial(sybil.run, names=6, networks=1), (_KEY, _NETWORKS, _SIGNED), (
        Aim("share", "encryption", 0.84, "encryption + networks", 0.75, "of one network 32 enter"),
        Aim("share", "encryption", 0.84, "encryption + signatures", 0.0, "who was not admitted says nothing")),
           scale=0.5),
    Attack("Sybil swarm, many networks", "has the same, with addresses in forty networks",
           partial(sybil.run, names=6, networks=40), (_NETWORKS, _SIGNED), scale=0.5),
    Attack("eclipse of who enters", "is three quarters of the addresses that a new member may enter by",
           partial(eclipse.enter, names=3, networks=2), (NONE, _SEEDS), (
        Aim("coverage", "none", 0.6, "seeds", 0.8, "of several that are asked, of different networks, one is honest"),),
           scale=0.25),
    Attack("eclipse by choice", "has four names for each member, in three networks",
           partial(eclipse.choose, names=4, networks=3), (NONE, _PEERS), (
        Aim("share", "none", 0.7, "peers", 0.3, "few peers of one network, whatever it has"),)),
    Attack("eclipse after a restart", "has names in sixty networks, and is there first",
           partial(eclipse.choose, names=4, networks=60, restart=True), (NONE, _PEERS, _ANCHORS), (
        Aim("coverage", "none", 0.5, "peers + anchors", 1.0, "two good peers of before are asked first"),)),
    Attack("nobody", "attacks; a member crashes: times are of its death", price.run,
           (NONE, _KEY, _WINDOWS, _SIGNED, _CERTIFIED, _HEARD, ALL)),
)}
