# SPDX-License-Identifier: Apache-2.0
"""What a simulated cluster does, in one process: ``python -m benchmarks.gossip_sim WHAT …`` prints JSON. A child.

``spread COUNT LOSS RUNS``, ``detect COUNT RUNS``, ``load COUNT``, ``ablation RUNS``: see ``holdfast.gossip.sim``. Times
are of the simulated clock and the same on every machine; ``seconds`` is what this machine took.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

from holdfast.gossip.sim.ablation import ablated
from holdfast.gossip.sim.runs import detect, load, spread

PARTS = ("t50_s", "t90_s", "t99_s", "last_s", "coverage")


def _spread(count: str, loss: str, runs: str) -> dict[str, Any]:
    done = [spread(int(count), chance, loss=float(loss), wait_s=6.0) for chance in _chances(runs)]
    return {**{part: [getattr(one.reached, part) for one in done] for part in PARTS},
            "sends": [one.sends for one in done]}


def _detect(count: str, runs: str) -> dict[str, Any]:
    done = [detect(int(count), chance) for chance in _chances(runs)]
    own = ("suspected_s", "declared_s", "packets", "bytes")
    return {**{part: [getattr(one.reached, part) for one in done] for part in PARTS},
            **{name: [getattr(one, name) for one in done] for name in own}}


def _load(count: str) -> dict[str, Any]:
    return asdict(load(int(count), random.Random(1), for_s=10.0))


def _ablation(runs: str) -> dict[str, Any]:
    return {"stages": {name: asdict(found) for name, found in ablated(lambda: _chances(runs)).items()}}


def _chances(runs: str) -> Iterable[random.Random]:
    return (random.Random(seed) for seed in range(int(runs)))


WHAT: dict[str, Callable[..., dict[str, Any]]] = {
    "spread": _spread, "detect": _detect, "load": _load, "ablation": _ablation}


if __name__ == "__main__":
    began = time.monotonic()
    found = WHAT[sys.argv[1]](*sys.argv[2:])
    print(json.dumps({**found, "seconds": time.monotonic() - began}))
