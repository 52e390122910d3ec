# SPDX-License-Identifier: Apache-2.0
"""Dead letters of log lines: where they are kept, and what is done with them.

========== ============================================================ =========================================
kept in    put                                                          a look for one of them
========== ============================================================ =========================================
``file``   JSON lines, on disk; one machine                             by an index in memory
``sql``    a transaction                                                by its key
``stream`` appended; as durable as the server                           all of them are read
``queue``  published; as durable as the broker: RabbitMQ, Kafka         all of them are read
========== ============================================================ =========================================

::

    from holdfast.logs.dead import FileDeadLines, replay

    dead = FileDeadLines("dead-lines")
    await dead.open()
    async for done in replay(dead, DeadChoice(reason="not_json"), parse=parse, sink=sink):
        print(done.id, done.outcome)

Inside::

    merge.py       one of two of the same id. Pure, as form.py (JSON), entries.py (fields), group.py and edit.py are
    segments.py    files that only grow; file.py: the contract on them; sql.py, stream.py, broker.py: the others
    queue.py       on anything that can be published to and consumed, for code
    replay.py      once more through parser and sink; quota.py: how much is kept
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from .edit import edited
from .group import DeadGroup, grouped
from .quota import Limited, Quota
from .replay import Replayed, replay

__all__ = ["BrokerDeadLines", "DeadGroup", "FileDeadLines", "Limited", "QueueDeadLines", "Quota", "Replayed",
           "SqlDeadLines", "StreamDeadLines", "edited", "grouped", "replay"]

_LATE = {"BrokerDeadLines": "broker", "FileDeadLines": "file", "QueueDeadLines": "queue", "SqlDeadLines": "sql",
         "StreamDeadLines": "stream"}


def __getattr__(name: str) -> Any:
    """Back ends are opened when they are asked for: their libraries are extras."""
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_LATE[name]}", __name__), name)
