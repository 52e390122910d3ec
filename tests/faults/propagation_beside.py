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
from pathlib import Path
from statistics import median

from holdfast.propagation.rehearsal import Scenario, compared, rehearsed, simulated
from holdfast.propagation.sim.network import Latency


def main() -> int:
    parser = argparse.ArgumentParser(description="fifty processes beside the simulator")
    parser.add_argument("--policy", action="append", help="several; without it flood, sqrt and trickle")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--nodes", type=int, default=50)
    asked = parser.parse_args()
    apart = False
    for policy in asked.policy or ["flood", "sqrt", "trickle"]:
        found = []
        for seed in range(1, asked.seeds + 1):
            scenario = Scenario(nodes=asked.nodes, policy=policy, pace=0.5, latency=Latency(0.3, 0.1), txs=20, seed=seed)
            with tempfile.TemporaryDirectory() as folder:
                real = asyncio.run(rehearsed(scenario, Path(folder)))
            one = compared(seed, real, simulated(scenario))
            found.append(one)
            print(f"{policy} seed {seed}: distance {one.ks:.3f}, half {one.t50:.3f}, 90 % {one.t90:.3f}, "
                  f"lacking {one.missed:.3f}", flush=True)
        ks, t50, t90 = (median(getattr(one, name) for one in found) for name in ("ks", "t50", "t90"))
        print(f"{policy} median: distance {ks:.3f}, half {t50:.3f}, 90 % {t90:.3f}", flush=True)
        apart = apart or ks > 0.15 or not 0.8 <= t50 <= 1.2 or not 0.8 <= t90 <= 1.2
    return int(apart)


if __name__ == "__main__":
    sys.exit(main())
