# SPDX-License-Identifier: Apache-2.0
"""The machine a run was made on, as far as it matters to figures."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any


def machine() -> dict[str, Any]:
    """Processor, how many of them, memory, system, Python."""
    return {"cpu": _first("/proc/cpuinfo", "model name") or platform.processor() or platform.machine(),
            "cpus": os.cpu_count(), "memory": _first("/proc/meminfo", "MemTotal"),
            "system": f"{platform.system()} {platform.release()}",
            "python": f"{platform.python_implementation()} {platform.python_version()}"}


def load() -> list[float]:
    """Average number of runnable processes over 1, 5 and 15 minutes; our own are among them."""
    return [round(one, 2) for one in os.getloadavg()]


def _first(path: str, name: str) -> str:
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")
