# SPDX-License-Identifier: Apache-2.0
"""Locks that know when they are lost.

::

    locks = await hf.locks()

    async with locks.lock("nightly-report").hold(wait_s=5) as held:
        for page in pages:
            held.check()                                  # asks no server
            await store(page, fence=held.fencing_token)   # the store refuses whoever comes late
        # the body is cancelled, and LeaseLost raised, when the lock is lost
"""

from __future__ import annotations

from .client import LockSettings
from .election import Election
from .held import Acquisition
from .hold import Lock
from .latch import Latch
from .redis import Locks, ReadWrite
from .together import HeldTogether, Together

__all__ = ["Acquisition", "Election", "HeldTogether", "Latch", "Lock", "LockSettings", "Locks", "ReadWrite", "Together"]
