# SPDX-License-Identifier: Apache-2.0
"""What the cells say about ways to a worker id: a matrix, sentences, and which way fits what somebody needs. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .cells import Cells
from .table import shown

if TYPE_CHECKING:
    from .workers_schemes import Scheme

START, CHURN, RESTART, CRASH = "start", "churn", "restart", "crash"
PAUSE, OUTAGE, AMNESIA = "pause", "outage", "amnesia"
#: Where every scheme that has a store promises that no id is there twice.
PROMISED = (START, CHURN, PAUSE, OUTAGE)
#: Where the one without a store has to be caught.
CAUGHT = (CHURN, PAUSE)
#: A restart is fast when it waits for no more than this part of a window.
FAST = 0.5
#: Schemes that live on Kubernetes.
OF_KUBERNETES = ("ordinal", "kubernetes")


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What somebody has to have. False: it does not matter.

    kubernetes: it runs there. no_dependencies: no server beside what is there anyway (the cluster, one machine's disk).
    restarts_fast: a pod that died makes ids again soon. same_id: it has the same worker id again.
    """

    kubernetes: bool = False
    no_dependencies: bool = False
    restarts_fast: bool = False
    same_id: bool = False

    @property
    def said(self) -> bool:
        """Whether there are any."""
        return self != Needs()


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Where it was measured. missing: why a scheme has no cells, or lacks some. errors: what a scheme said when its
    store was away. window_s: of every worker id. many: pods at most. own_redis: no server was named."""

    missing: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)
    window_s: float = 2.0
    many: int = 50
    own_redis: bool = True
    quick: bool = False


def broken(cells: Cells, schemes: Iterable[Scheme]) -> list[str]:
    """What must not be: an id twice under a store, or a scheme that cheats and is not caught."""
    found = []
    for scheme in schemes:
        if not scheme.cheats:
            found += [f"BROKEN: pods under {scheme.name} made {shown(twice)} ids twice under {scenario}"
                      for scenario in PROMISED  # guard: an id that is there twice
                      if (twice := cells.value(scheme.name, scenario, "duplicates"))]
        else:
            found += [f"BROKEN: {scheme.name} cheats and made nothing twice under {scenario}, so that the noughts of "
                      f"the others mean nothing" for scenario in CAUGHT
                      if cells.value(scheme.name, scenario, "duplicates") == 0]  # guard: a cheat that is not caught
    return found


# -- the matrix -------------------------------------------------------------------------------------------------------

_COLUMNS = (("duplicates in churn", CHURN, "duplicates"), ("in a pause", PAUSE, "duplicates"),
            ("pods without an id", CHURN, "without_id"), ("same id after an end", RESTART, "same_id"),
            ("after a death", CRASH, "same_id"), ("first id after a death, s", CRASH, "first_id_s"),
            ("claim, ms", START, "claim_p50_ms"), ("first id, ms", START, "first_id_ms"),
            ("renewal, ms", START, "renewal_p50_ms"), ("ids for, s, store away", OUTAGE, "ids_for_s"))


def matrix(cells: Cells, schemes: Sequence[Scheme]) -> tuple[list[str], list[list[str]]]:
    """Head and rows: each way against all that was measured. What it depends on is no measurement, and said."""
    head = ["worker ids from", *(title for title, *_ in _COLUMNS), "depends on"]
    rows = [[scheme.name, *(shown(cells.value(scheme.name, *key)) for _, *key in _COLUMNS), scheme.depends]
            for scheme in schemes if scheme.name in cells.schemes]
    return head, rows


# -- advice -----------------------------------------------------------------------------------------------------------


def advice(cells: Cells, schemes: Sequence[Scheme], setting: Setting, needs: Needs | None = None) -> list[str]:
    """All of it: what went wrong first, then what fits, each danger, and what is not known."""
    asked = needs or Needs()
    there = [scheme for scheme in schemes if scheme.name in cells.schemes]
    return [*broken(cells, schemes), *recommended(cells, there, setting, asked), *_caught(cells),
            *_scaled(cells, setting),
            *_deaths(cells, setting), *_outage(cells, setting), *_amnesia(cells), *_unknown(setting)]


def objections(cells: Cells, scheme: Scheme, setting: Setting, needs: Needs) -> list[str]:
    """Why a scheme is not what is needed, by what was measured of it."""
    name, found = scheme.name, []
    if (twice := sum(cells.value(name, scenario, "duplicates") or 0 for scenario in PROMISED)):
        found.append(f"{shown(twice)} ids were there twice")
    if without := cells.value(name, CHURN, "without_id"):
        found.append(f"{shown(without)} of {setting.many} pods had no worker id")
    if not needs.kubernetes and name in OF_KUBERNETES:
        found.append("it is for Kubernetes")
    if needs.no_dependencies and scheme.needs in _SERVERS:
        found.append(f"it depends on {scheme.depends}")
    if needs.kubernetes and scheme.needs == "sqlite":
        found.append("pods have no file that all of them share")
    wait = cells.value(name, CRASH, "first_id_s")
    if needs.restarts_fast and (wait is None or wait > FAST * setting.window_s):
        found.append("its restart was not measured" if wait is None else
                     f"after a death its pod waited {shown(wait)} s for an id, with a window of {setting.window_s:g} s")
    if needs.same_id and (cells.value(name, CRASH, "same_id") or 0) < 1:
        found.append("after a death its pod had another worker id")
    return found


def recommended(cells: Cells, schemes: Sequence[Scheme], setting: Setting, needs: Needs) -> list[str]:
    """Those that nothing speaks against, the quickest claim first, and why not the rest."""
    against = {scheme.name: objections(cells, scheme, setting, needs) for scheme in schemes}
    fit = sorted((name for name, found in against.items() if not found), key=lambda name: _claim_ms(cells, name))
    not_fit = [f"not {name}: {'; '.join(found)}" for name, found in against.items() if found]
    if not fit:
        return ["Nothing that was measured is all of that", *not_fit]
    words = "For what you need" if needs.said else "Outside of Kubernetes, where nothing else is needed"
    return [f"{words}: " + ", then ".join(f"{name} ({_why(cells, name)})" for name in fit), *not_fit]


_SERVERS = ("redis", "postgresql", "mariadb", "etcd", "zookeeper")


def _claim_ms(cells: Cells, name: str) -> float:
    found = cells.value(name, START, "claim_p50_ms")
    return float("inf") if found is None else found


def _why(cells: Cells, name: str) -> str:
    facts = ((START, "claim_p50_ms", "a claim {} ms"), (CRASH, "first_id_s", "an id {} s after a death"),
             (OUTAGE, "ids_for_s", "ids for {} s without the store"))
    return ", ".join(words.format(shown(value)) for scenario, metric, words in facts
                     if (value := cells.value(name, scenario, metric)) is not None)


def _with(cells: Cells, scenario: str, metric: str) -> dict[str, float]:
    return {name: value for name in cells.schemes if (value := cells.value(name, scenario, metric)) is not None}


def _each(found: Mapping[str, float], unit: str = "") -> str:
    return ", ".join(f"{name} {shown(value)}{unit}" for name, value in sorted(found.items(), key=lambda pair: pair[1]))


def _caught(cells: Cells) -> list[str]:
    twice = {scenario: value for scenario in CAUGHT if (value := cells.value("variable", scenario, "duplicates"))}
    said = f"a variable in the template that nobody compares: ids that were there twice, {_each(twice)}"
    return [said] if twice else []


def _scaled(cells: Cells, setting: Setting) -> list[str]:
    without = {name: value for name, value in _with(cells, CHURN, "without_id").items() if value}
    told = []
    if without:
        told.append(f"of {setting.many} pods had no worker id: {_each(without)}. The store refused them, which is what "
                    f"keeps ids apart; a template cannot tell pods apart")
    if waits := _with(cells, CHURN, "longest_wait_s"):
        told.append(f"when pods came by the dozen, the last one had its first id after: {_each(waits, ' s')}")
    return told


def _deaths(cells: Cells, setting: Setting) -> list[str]:
    waits, same = _with(cells, CRASH, "first_id_s"), _with(cells, CRASH, "same_id")
    if not waits:
        return []
    kept = [name for name, value in same.items() if value == 1]
    said = (f"after a death a pod made ids again after: {_each(waits, ' s')}; with the same worker id: "
            f"{', '.join(kept) or 'none'}. Who wants the same one waits for the window of {setting.window_s:g} s; who "
            f"takes another one does not, and its ids are as unique")
    return [said]


def _outage(cells: Cells, setting: Setting) -> list[str]:
    lasted = _with(cells, OUTAGE, "ids_for_s")
    if not lasted:
        return []
    said = {name: words.partition(":")[0] for name, words in setting.errors.items() if words}
    errors = "; ".join(f"{kind} with {', '.join(n for n, k in said.items() if k == kind)}"
                       for kind in dict.fromkeys(said.values()))
    told = (f"without the store ids came for: {_each(lasted, ' s')} (a window is {setting.window_s:g} s, and renewed "
            f"when a third of it is over: with a window of an hour they come for 40 minutes). Then: "
            f"{errors or 'no error'}")
    return [told]


def _amnesia(cells: Cells) -> list[str]:
    found = _with(cells, AMNESIA, "duplicates")
    if twice := {name: value for name, value in found.items() if value and name != "variable"}:
        said = (f"a Redis that came back with nothing before a window had ended gave worker ids again that were held: "
                f"ids twice, {_each(twice)}. Let it keep its data (appendonly yes), or not be started again by itself")
        return [said]
    return ["a Redis that came back with nothing made nobody make an id twice here"] if found else []


def _unknown(setting: Setting) -> list[str]:
    told = [f"{name} lacks cells: {why}" for name, why in setting.missing.items()]
    told.append("kubernetes was measured against a contract server, which is no cluster: its rules are real, its times "
                "are not")
    told.append("etcd and ZooKeeper run here with one server and without waiting for the disk: their times are a lower "
                "bound")
    if setting.own_redis:
        told.append("claims on Redis are those of a server on this machine, without a network: name yours with --url")
    if setting.quick:
        told.append(f"{setting.many} pods, and one round: believe the noughts, and not the times")
    return told
