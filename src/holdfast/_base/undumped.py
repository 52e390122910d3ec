# SPDX-License-Identifier: Apache-2.0
"""A process whose memory is written to no disk when it dies, and read by no other process of its user.

For servers that keep keys. Linux: ``PR_SET_DUMPABLE`` (prctl(2)), which also counts where the kernel pipes core dumps
to a program and limits do not; elsewhere the limit of core files alone. Price: neither gdb nor py-spy gets in but as
root. Swap is the machine's affair, and so is a dump of the whole machine.
"""

from __future__ import annotations

import ctypes
import resource
import sys
from typing import Final

_PR_SET_DUMPABLE: Final = 4


def undumped() -> None:
    """From now on, and until the process becomes another program. Where that is not to be had, as much as is."""
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, most))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)  # guard: a process that has keys leaves no core dump
