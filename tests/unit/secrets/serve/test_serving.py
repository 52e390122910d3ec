# SPDX-License-Identifier: Apache-2.0
"""A server has room for its connections and for its files. In processes of their own: limits are a process's."""

from __future__ import annotations

import subprocess
import sys

import pytest

ASK = """
import resource, sys
from holdfast.secrets.serve.serving import CONNECTIONS_MAX, make_room
least, most = (int(text) * CONNECTIONS_MAX for text in sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (least, most))
make_room()
print(*(number // CONNECTIONS_MAX for number in resource.getrlimit(resource.RLIMIT_NOFILE)))
"""


@pytest.mark.parametrize(("least", "most", "then"), [(1, 8, 4), (1, 2, 2), (5, 8, 5), (4, 4, 4)])
def test_there_is_room_for_files_beside_the_connections(least, most, then):
    said = subprocess.run([sys.executable, "-c", ASK, str(least), str(most)], capture_output=True, text=True,
                          check=True)
    assert said.stdout.split() == [str(then), str(most)]
