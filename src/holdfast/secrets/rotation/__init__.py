# SPDX-License-Identifier: Apache-2.0
"""Rotation of secrets: a new value is made, set, tested and brought into force, and the old one ends when every process
that used it has said that it uses the new one.

::

    machine.py      the stages, pure: what is next, when it may go on, how it goes back
    records.py      where a rotation's record is kept
    runner.py       Rotation: carries it through, resumes it, aborts it
    schedule.py     when the next one is due, pure
    keeper.py       Keeper: rotates what is due
    registry.py     who uses a secret: the protocol, and the thread that renews leases
    folder.py       the register of one machine
    shared.py       the register of many, in Redis
    rotators.py     what a service has to do
    redis_user.py   a user of Redis or Valkey
    sql_user.py     a user of PostgreSQL
"""

from __future__ import annotations

from .folder import FolderRegistry
from .keeper import Keeper
from .machine import Stage, Subscriber
from .registry import Registry
from .rotators import Rotator, password
from .runner import Report, Rotation
from .schedule import Schedule

__all__ = [
    "FolderRegistry",
    "Keeper",
    "Registry",
    "Report",
    "Rotation",
    "Rotator",
    "Schedule",
    "Stage",
    "Subscriber",
    "password",
]
