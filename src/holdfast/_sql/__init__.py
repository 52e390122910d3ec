# SPDX-License-Identifier: Apache-2.0
"""SQL databases that the user owns: reaching them, our few tables in them, and what their dialects differ in.

::

    engine.py      Database: from a URL, an engine or a session maker to connections, sessions, timeouts
    tables.py      holdfast_inbox and holdfast_fence, as metadata that Alembic can read
    dialects.py    insert if absent, locks, timeouts: one function each, every dialect side by side
    transient.py   which errors speak of a busy store and not of the message

The whole room needs the extra ``sql``; whoever opens it does so late. Without the extra the import raises
``MissingExtra``.
"""

from __future__ import annotations

from importlib.util import find_spec

from ..errors import MissingExtra

# SQLAlchemy's asyncio side runs on greenlet, and says so only at the first query.
if not (find_spec("sqlalchemy") and find_spec("greenlet")):
    raise MissingExtra("sql", "keeping effects in an SQL database")

from .dialects import Timeouts, insert_absent
from .engine import Database, DatabaseSource
from .tables import Tables, create_all, ddl, missing_tables
from .transient import is_transient

__all__ = [
    "Database",
    "DatabaseSource",
    "Tables",
    "Timeouts",
    "create_all",
    "ddl",
    "insert_absent",
    "is_transient",
    "missing_tables",
]
