# SPDX-License-Identifier: Apache-2.0
"""What a process that a test starts elsewhere needs, to import what this one imports."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def import_path(*first: Path) -> dict[str, str]:
    """The environment for it: these folders, then all of ours. Absolute, since it starts in another folder."""
    return {"PYTHONPATH": os.pathsep.join([*map(str, first), *filter(None, map(os.path.abspath, sys.path))])}
