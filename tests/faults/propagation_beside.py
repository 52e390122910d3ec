# SPDX-License-Identifier: Apache-2.0
"""Five seeds of a scenario as fifty processes and in the simulator, with the median of each figure.

::

    python -m tests.faults.propagation_beside [--policy trickle] [--seeds 5]

Ends with 1 where a median is farther apart than is claimed: 0.15 for the distance of the distributions, a fifth for the
times of a half and of 90 %.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

from holdfast.propagation.rehearsal import Compared, Scenario, compared, rehearsed, simulated
from holdfast.propagation.sim.network import Latency

#: Long beside what two busy cores put on top. Where nothing is drawn on the way, few transactions tell all; where
#: timers are, many do.
SCENARIOS = {
    "flood": Scenario(policy="flood", latency=Latency(1.0, 0.33), txs=10, every_s=0.5),
    "sqrt": Scenario(policy="sqrt", pace=4.0, latency=Latency(0.8, 0.27), txs=30, every_s=0.3),
    "trickle": Scenario(policy="trickle", pace=0.5, latency=Latency(0.3, 0.1), txs=60, every_s=0.15),
}


def beside(policy: str, seed: int, folder: Path) -> Compared:
    """One seed. The simulator runs it ten times, so that its own chance plays no part."""
    scenario = replace(SCENARIOS[policy], seed=seed)
    return compared(seed, asyncio.run(rehearsed(scenario, folder)), simulated(scenario, 10))


def near(found: Sequence[Compared]) -> bool:
    """Are the medians as near as is claimed?"""
    ks, t50, t90 = (median(getattr(one, name) for one in found) for name in ("ks", "t50", "t90"))
    return ks <= 0.15 and 0.8 <= t50 <= 1.2 and 0.8 <= t90 <= 1.2


def main() -> int:
    parser = argparse.ArgumentParser(description="fifty processes beside the simulator")
    parser.add_argument("--policy", action="append", choices=SCENARIOS, help="several; without it, all")
    parser.add_argument("--seeds", type=int, default=5)
    asked = parser.parse_args()
    apart = False
    for policy in asked.policy or SCENARIOS:
        found = []
        for seed in range(1, asked.seeds + 1):
            with tempfile.TemporaryDirectory() as folder:
                one = beside(policy, seed, Path(folder))
            found.append(one)
            print(f"{policy} seed {seed}: distance {one.ks:.3f}, half {one.t50:.3f}, 90 % {one.t90:.3f}, "
                  f"lacking {one.missed:.3f}", flush=True)
        ks, t50, t90 = (median(getattr(one, name) for one in found) for name in ("ks", "t50", "t90"))
        print(f"{policy} median: distance {ks:.3f}, half {t50:.3f}, 90 % {t90:.3f}", flush=True)
        apart = apart or not near(found)
    return int(apart)


if __name__ == "__main__":
    sys.exit(main())
