# SPDX-License-Identifier: Apache-2.0
"""Secrets: what a read and a durable write cost, in a file, behind a server, and on nodes.

``files``  the vault and its client, beside a MultiFernet by hand and the cipher alone: read warm and cold, written
``far``    a vault that is served over HTTPS, and circles of nodes; one caller, and four

Each question runs in a fresh process, on the disk that the checkout lies on. Whoever does not give back what was put
spoils the run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .rig import ROOT

Tell = Callable[[str], None]
PATIENCE_S = 1800


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
        files = _child("benchmarks.secrets_files", Path(folder) / "files", effort.rounds, effort.box_s,
                       ",".join(map(str, effort.numbers)), ",".join(map(str, effort.sizes)))
        tell("secrets in files were measured")
        far = _child("benchmarks.secrets_far", Path(folder) / "far", effort.rounds, effort.far_s)
        tell("secrets behind a server and on nodes were measured")
    return {"files": files, "far": far}


def spoiled(figures: Mapping[str, Any]) -> int:
    """Values that were not what was put."""
    return sum(len(one["wrong"]) for one in figures["files"]) + len(figures["far"]["wrong"])


def _child(module: str, *arguments: object) -> Any:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    done = subprocess.run([sys.executable, "-m", module, *map(str, arguments)], env=env, cwd=ROOT,
                          stdout=subprocess.PIPE, check=True, timeout=PATIENCE_S)
    return json.loads(done.stdout)
