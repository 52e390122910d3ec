# SPDX-License-Identifier: Apache-2.0
"""``python -m benchmarks.traces_peak FILE MODULE …`` runs a module, and leaves in FILE how many kB it had in memory.

What a process's parent is told when it ends (``ru_maxrss``) is never less than what the parent itself had in memory
when it began, since it began as its copy; so a process says it itself. Those that it started come on top.
"""

from __future__ import annotations

import atexit
import resource
import runpy
import sys
from pathlib import Path


def peak_kb() -> int:
    """VmHWM of this process, and the largest of those it has waited for."""
    lines = Path("/proc/self/status").read_text().splitlines()
    own = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    return own + resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss


def main(argv: list[str]) -> None:
    """The module's exit code is this one's."""
    said = Path(argv[0])
    atexit.register(lambda: said.write_text(str(peak_kb())))
    sys.argv = argv[1:]
    runpy.run_module(argv[1], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
