# SPDX-License-Identifier: Apache-2.0
"""A process that has keys leaves no core dump. Asked of the kernel, in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

ASK = """
import ctypes, resource
from holdfast._base.undumped import undumped
undumped()
print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), resource.getrlimit(resource.RLIMIT_CORE)[0])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
def test_the_kernel_dumps_it_no_more():
    said = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, check=True)
    assert said.stdout == "0 0\n"
