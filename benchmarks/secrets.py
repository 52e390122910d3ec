# SPDX-License-Identifier: Apache-2.0
"""Secrets: what a read and a durable write cost, in a file, behind a server, and on nodes.

``files``  the vault and its client, beside a MultiFernet by hand and the cipher alone: read warm and cold, written
``far``    a vault that is served over HTTPS, and circles of nodes; one caller, and four

Each question runs in a fresh process, on the disk that the checkout lies on. Whoever does not give back what was put
spoils the run.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .rig import ROOT, child

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Effort:
    """numbers: of secrets, with values of the first size. sizes: of values, with the first number of them. box_s: of
    one turn in a round; far_s: of one elsewhere."""

    numbers: tuple[int, ...] = (100, 1_000, 10_000)
    sizes: tuple[int, ...] = (32, 1_024, 65_536)
    rounds: int = 7
    box_s: float = 0.3
    far_s: float = 1.0


QUICK = Effort(numbers=(20, 100), sizes=(32, 1_024), rounds=1, box_s=0.02, far_s=0.1)


def measure(effort: Effort, tell: Tell) -> dict[str, Any]:
    """Figures by question."""
    (ROOT / "build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="secrets-", dir=ROOT / "build") as folder:
        files = child("benchmarks.secrets_files", Path(folder) / "files", effort.rounds, effort.box_s,
                       ",".join(map(str, effort.numbers)), ",".join(map(str, effort.sizes)))
        tell("secrets in files were measured")
        far = child("benchmarks.secrets_far", Path(folder) / "far", effort.rounds, effort.far_s)
        tell("secrets behind a server and on nodes were measured")
    return {"files": files, "far": far}


def spoiled(figures: Mapping[str, Any]) -> int:
    """Values that were not what was put."""
    return sum(len(one["wrong"]) for one in figures["files"]) + len(figures["far"]["wrong"])
