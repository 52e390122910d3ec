# SPDX-License-Identifier: Apache-2.0
"""A process that serves one node's folder until it is killed. Arguments: folder, name, port."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from holdfast._base.clock import SystemClock
from holdfast.secrets.nodes import Node, Serving
from holdfast.testing.points import arm_from_env

if __name__ == "__main__":
    folder, name, port = sys.argv[1:]
    serving = Serving(Node(Path(folder), name, SystemClock(), os.urandom), port=int(port))
    arm_from_env()
    os.write(1, b"serving\n")
    threading.Event().wait()
