# SPDX-License-Identifier: Apache-2.0
"""``python -m benchmarks``: asks each question in turn, writes JSON and tables, tells on stderr how far it is."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from . import drain, idle, latency, memory, recovery, report
from .contestants import (
    BROKERS,
    CONTESTANTS,
    GOSSIP,
    IDS,
    KNOWN,
    LETTERS,
    LOCKS,
    MODES,
    PROPAGATION,
    SECRETS,
    TRACES,
)
from .machine import load, machine
from .rig import Rig, rig, server_facts

RESULTS = Path(__file__).parent / "results"
#: Who takes part in which question, unless the command says otherwise.
WHO: dict[str, tuple[str, ...]] = {
    "drain": tuple(CONTESTANTS),
    "latency": ("bare", "holdfast", "faststream"),
    "memory": ("holdfast",),
    "idle": ("bare", "holdfast", "faststream", "taskiq"),
    "recovery": ("holdfast", "faststream", "taskiq"),
    "once": tuple(MODES),
    "locks": tuple(LOCKS),
    "ids": tuple(IDS),
    "letters": tuple(LETTERS),
    "traces": tuple(TRACES),
    "gossip": tuple(GOSSIP),
    "secrets": tuple(SECRETS),
    "propagation": tuple(PROPAGATION),
    "brokers": tuple(BROKERS),
}
FULL_N, SHORT_N = 1_000_000, 100_000


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", choices=list(WHO), action="append", help="ask only this; may be repeated")
    parser.add_argument("--who", help=f"contestants, with commas, of {', '.join(KNOWN)}")
    parser.add_argument("--n", type=int, help="messages: of the drain and of once (50,000), of memory (see --full); "
                        "letters (100,000); traces: MB of each file (500)")
    parser.add_argument("--runs", type=int, help="rounds of drain, once, traces (5), latency, kills, letters (3), "
                        "ids, secrets (7), of each simulated cluster (9), propagation (5)")
    parser.add_argument("--series", choices=["none", "everysec"], action="append",
                        help="persistence of the drain and of once (both)")
    parser.add_argument("--quick", action="store_true", help="locks, ids, letters, traces, gossip, secrets, "
                        "propagation: little of everything, in one round")
    parser.add_argument("--full", action="store_true", help=f"memory after {FULL_N:,} messages instead of {SHORT_N:,}")
    parser.add_argument("--rate", type=float, default=1000.0, help="messages a second where latency is measured")
    parser.add_argument("--seconds", type=float, help="of one latency run (10), of idling (20)")
    parser.add_argument("--lease-ms", type=int, default=5000, help="where recovery is measured")
    parser.add_argument("--patience", type=float, default=30.0, help="seconds after which recovery is given up")
    parser.add_argument("--no-pin", action="store_true", help="leave the processors to the scheduler")
    parser.add_argument("--note", default="", help="a sentence for the reader, such as what else the machine did")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder to write to")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0: measured. 1: a message was missing or came twice where nothing failed."""
    asked = arguments(argv)
    clean = True
    for what in asked.only or WHO:
        names = present(asked.who.split(",") if asked.who else WHO[what])
        result = framed(asked, names, QUESTIONS[what])
        clean = clean and not _spoiled(result)
        path = report.write(asked.results, what, result)
        tell(f"{what}: {path}")
    print((asked.results / "README.md").read_text())
    return 0 if clean else 1


def present(names: Sequence[str]) -> list[str]:
    """Those whose libraries are installed; the others are named."""
    unknown = [name for name in names if name not in KNOWN]
    if unknown:
        raise SystemExit(f"unknown: {', '.join(unknown)}. Known are {', '.join(KNOWN)}")
    for name in names:
        if KNOWN[name].missing:
            tell(f"{KNOWN[name].title} is left out: pip install {' '.join(KNOWN[name].missing)}")
    return [name for name in names if not KNOWN[name].missing]


def framed(asked: argparse.Namespace, names: Sequence[str], ask: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """A question's figures with everything a reader needs to judge them."""
    frame: dict[str, Any] = {"date": datetime.now(UTC).isoformat(timespec="seconds"), "note": asked.note,
                             "machine": machine(), "load_before": load()}
    figures = ask(asked, names)
    contestants = {name: {"title": KNOWN[name].title, "settings": dict(KNOWN[name].settings),
                          "versions": KNOWN[name].versions()} for name in names}
    return {**frame, "load_after": load(), "contestants": contestants, **figures}


def ask_drain(asked: argparse.Namespace, names: Sequence[str]) -> dict[str, Any]:
    n, runs, series = asked.n or 50_000, asked.runs or 5, {}
    facts: dict[str, Any] = {}
    for persistence in asked.series or ["none", "everysec"]:
        with _bench(asked, facts, persistence) as bench:
            series[persistence] = drain.measure(bench, names, n, runs, tell)
    return {**facts, "settings": {"n": n, "runs": runs, "body_bytes": 200}, "series": series}


def ask_latency(asked: argparse.Namespace, names: Sequence[str]) -> dict[str, Any]:
    runs, seconds, facts = asked.runs or 3, asked.seconds or 10.0, {}
    with _bench(asked, facts) as bench:
        figures = latency.measure(bench, names, asked.rate, seconds, runs, tell=tell)
    return {**facts, "settings": {"rate_per_s": asked.rate, "seconds": seconds, "runs": runs}, "runs": figures}


def ask_memory(asked: argparse.Namespace, names: Sequence[str]) -> dict[str, Any]:
    n, facts = asked.n or (FULL_N if asked.full else SHORT_N), {}
    with _bench(asked, facts) as bench:
        figures = {name: memory.measure(bench, name, n, tell) for name in names}
    return {**facts, "settings": {"n": n}, "figures": figures}


def ask_idle(asked: argparse.Namespace, names: Sequence[str]) -> dict[str, Any]:
    seconds, facts = asked.seconds or 20.0, {}
    with _bench(asked, facts) as bench:
        figures = {name: idle.measure(bench, name, seconds, tell) for name in names}
    return {**facts, "settings": {"seconds": seconds}, "figures": figures}


def ask_recovery(asked: argparse.Namespace, names: Sequence[str]) -> dict[str, Any]:
    runs, facts = asked.runs or 3, {}
    with _bench(asked, facts) as bench:
        figures = {name: [recovery.measure(bench, name, asked.lease_ms, asked.patience, tell) for _ in range(runs)]
                   for name in names}
    return {**facts, "settings": {"lease_ms": asked.lease_ms, "runs": runs}, "runs": figures}


def ask_once(asked: argparse.Namespace, names: Sequence[str]) -> dict[str, Any]:
    from . import once  # a database's driver is nobody else's business

    n, runs, series = asked.n or 50_000, asked.runs or 5, {}
    facts: dict[str, Any] = {}
    for persistence in asked.series or ["none", "everysec"]:
        with _bench(asked, facts, persistence) as bench:
            series[persistence] = once.measure(bench, names, n, runs, tell)
    return {**facts, "settings": {"n": n, "runs": runs, "body_bytes": 200}, "series": series}


def ask_locks(asked: argparse.Namespace, names: Sequence[str]) -> dict[str, Any]:
    from dataclasses import replace

    from . import locks  # what starts ZooKeeper is nobody else's business

    effort, facts = locks.QUICK if asked.quick else locks.Effort(), {}
    effort = replace(effort, runs=asked.runs or effort.runs, seconds=asked.seconds or effort.seconds)
    with _bench(asked, facts) as bench:
        figures = locks.measure(bench, names, effort, tell)
    return {**facts, "settings": {"runs": effort.runs, "pairs": effort.pairs, "seconds": effort.seconds,
                                  "lease_ms": locks.DEATH_LEASE_MS}, "figures": figures,
            "spoiled": locks.overlaps(figures)}


def ask_ids(asked: argparse.Namespace, names: Sequence[str]) -> dict[str, Any]:
    from dataclasses import asdict, replace

    from . import ids  # what starts databases is nobody else's business

    effort, facts = ids.QUICK if asked.quick else ids.Effort(), {}
    effort = replace(effort, runs=asked.runs or effort.runs)
    with _bench(asked, facts) as bench:
        figures = ids.measure(bench, names, effort, tell)
    return {**facts, "settings": asdict(effort), "figures": figures, "spoiled": ids.spoiled(figures)}


def ask_letters(asked: argparse.Namespace, names: Sequence[str]) -> dict[str, Any]:
    from dataclasses import asdict, replace

    from . import letters  # what starts a database, a console and a browser is nobody else's business

    effort, facts = letters.QUICK if asked.quick else letters.Effort(), {}
    effort = replace(effort, runs=asked.runs or effort.runs, letters=asked.n or effort.letters)
    asked.no_pin = True  # four processes share what there is
    with _bench(asked, facts) as bench:
        figures = letters.measure(bench, names[0], effort, tell)
    return {**facts, "settings": asdict(effort), "figures": figures, "spoiled": letters.spoiled(figures)}


def ask_traces(asked: argparse.Namespace, names: Sequence[str]) -> dict[str, Any]:
    from dataclasses import asdict, replace

    from . import traces

    effort = traces.QUICK if asked.quick else traces.Effort()
    effort = replace(effort, runs=asked.runs or effort.runs, size_mb=asked.n or effort.size_mb)
    figures = traces.measure([name.removeprefix("traces-") for name in names], effort, tell)
    return {"pinned": False, "settings": asdict(effort), "figures": figures, "spoiled": traces.spoiled(figures)}


def ask_gossip(asked: argparse.Namespace, _: Sequence[str]) -> dict[str, Any]:
    from dataclasses import asdict, replace

    from . import gossip

    effort = gossip.QUICK if asked.quick else gossip.Effort()
    effort = replace(effort, runs=asked.runs or effort.runs)
    figures = gossip.measure(effort, tell)
    return {"pinned": False, "settings": asdict(effort), "figures": figures, "spoiled": gossip.spoiled(figures)}


def ask_secrets(asked: argparse.Namespace, _: Sequence[str]) -> dict[str, Any]:
    from dataclasses import asdict, replace

    from . import secrets  # what starts servers and nodes is nobody else's business

    effort = secrets.QUICK if asked.quick else secrets.Effort()
    effort = replace(effort, rounds=asked.runs or effort.rounds)
    figures = secrets.measure(effort, tell)
    return {"pinned": False, "settings": asdict(effort), "figures": figures, "spoiled": secrets.spoiled(figures)}


def ask_propagation(asked: argparse.Namespace, names: Sequence[str]) -> dict[str, Any]:
    from dataclasses import asdict, replace

    from . import propagation

    effort = propagation.QUICK if asked.quick else propagation.Effort()
    effort = replace(effort, runs=asked.runs or effort.runs)
    figures = propagation.measure(names, effort, tell)
    for line in propagation.late(figures):
        tell(line)
    return {"pinned": False, "settings": asdict(effort), "figures": figures, "spoiled": propagation.spoiled(figures)}


def ask_brokers(asked: argparse.Namespace, _: Sequence[str]) -> dict[str, Any]:
    from dataclasses import asdict, replace

    from . import brokers  # what starts brokers is nobody else's business

    effort = brokers.QUICK if asked.quick else brokers.Effort()
    effort = replace(effort, rounds=asked.runs or effort.rounds, n=asked.n or effort.n)
    figures = brokers.measure(effort, tell)
    return {"pinned": False, "settings": asdict(effort), "figures": figures, "spoiled": brokers.spoiled(figures)}


QUESTIONS: dict[str, Callable[[argparse.Namespace, Sequence[str]], dict[str, Any]]] = {
    "drain": ask_drain, "latency": ask_latency, "memory": ask_memory, "idle": ask_idle, "recovery": ask_recovery,
    "once": ask_once, "locks": ask_locks, "ids": ask_ids, "letters": ask_letters,
    "traces": ask_traces, "gossip": ask_gossip, "secrets": ask_secrets, "propagation": ask_propagation,
    "brokers": ask_brokers}


@contextmanager
def _bench(asked: argparse.Namespace, facts: dict[str, Any], persistence: str = "none") -> Iterator[Rig]:
    with rig(persistence, pin=not asked.no_pin) as bench:
        facts.update(server=server_facts(bench), pinned=bench.pinned)
        yield bench


def _spoiled(result: dict[str, Any]) -> bool:
    """Was a message of ours missing, or handled twice, or a lock of ours held twice, or lost? Nothing failed here."""
    all_runs = [*result.get("series", {}).values(), result.get("runs", {})]
    odd = any(run.get("missing") or run.get("duplicates") or run.get("effects_off")
              for runs in all_runs for name, found in runs.items() if KNOWN[name].is_ours for run in found)
    return odd or bool(result.get("spoiled"))


def tell(line: str) -> None:
    """To whoever watches."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
