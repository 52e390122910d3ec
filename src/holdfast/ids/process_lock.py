# SPDX-License-Identifier: Apache-2.0
"""A file lock of one process: a forked child does not keep it, and a lock file that was deleted is noticed."""

from __future__ import annotations

import os
import weakref
from pathlib import Path

from .._redis.filelock import FileLock


class ProcessLock(FileLock):
    """``FileLock`` of this process alone. The kernel lets go of it when the process ends, however it ends."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        _ALIVE.add(self)

    def intact(self) -> bool:
        """Whether it is held, and the file still the one that is locked: a deleted one makes room for a second."""
        try:
            return os.path.samestat(os.fstat(self.descriptor), self.path.stat())
        except (FileNotFoundError, ValueError):
            return False


#: Locks of this process, as long as somebody has them.
_ALIVE: weakref.WeakSet[ProcessLock] = weakref.WeakSet()


def _forked() -> None:
    """A child that outlives its parent must not keep the parent's successor out. Closing here leaves the parent's."""
    for lock in tuple(_ALIVE):
        lock.release()


os.register_at_fork(after_in_child=_forked)
