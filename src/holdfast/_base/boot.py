# SPDX-License-Identifier: Apache-2.0
"""Which boot of a machine this is. Instants of two processes can be compared within one boot, and not beyond it."""

from __future__ import annotations

from pathlib import Path

#: Made anew by Linux at each boot; all containers of a node read the same one. See random(4).
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boot_id(path: Path = BOOT_ID) -> str:
    """The id of this boot; empty where the system does not say one (macOS, Windows)."""
    try:
        return path.read_text("ascii").strip()
    except OSError:
        return ""
