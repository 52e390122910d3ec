# SPDX-License-Identifier: Apache-2.0
"""``locality``: ids as the key of a real table, in the order in which several writers bring them.

A table is a tree whose pages hold neighbouring keys. Keys that grow fill one page after the other; keys by chance touch
another page each, which has to be read first where the cache is smaller than the tree, and leave pages half empty. On
SQLite a table ``WITHOUT ROWID`` is that tree itself; every page that a transaction changes goes to the write-ahead log
once, so that the log's length counts pages written. The cache is kept smaller than the table.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from .ids_count import LONG

LOCALITY = "locality"
#: Pages of the cache; a table that is measured has many times as many.
CACHE_PAGES, PAGE_BYTES = 64, 4096
#: Rows of one transaction, and bytes of a row besides its key.
BATCH, FILLER = 50, 100
#: What the log holds besides its pages: once, and for each page.
_LOG_HEAD, _FRAME_HEAD = 32, 24
#: Which part of the rows is there before anything is measured.
FILLED = 0.75


def inserted(folder: Path, ids: Sequence[int], width: int) -> dict[str, float]:
    """What it took to insert the last quarter of ``ids`` behind the others. Raises sqlite3.IntegrityError for an id
    that is there twice."""
    path = folder / "locality.db"
    fill = int(len(ids) * FILLED)
    key = (lambda one: one.to_bytes(LONG, "big")) if width == LONG else int
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for setting in (f"page_size={PAGE_BYTES}", "journal_mode=WAL", f"cache_size={CACHE_PAGES}", "synchronous=OFF",
                        "wal_autocheckpoint=0"):
            connection.execute(f"PRAGMA {setting}").fetchall()
        connection.execute(f"CREATE TABLE t (id {'BLOB' if width == LONG else 'INTEGER'} PRIMARY KEY, filler BLOB) "
                           "WITHOUT ROWID")
        rows = [(key(one), b"x" * FILLER) for one in ids]
        _insert(connection, rows[:fill])
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        began = time.perf_counter()
        _insert(connection, rows[fill:])
        seconds = time.perf_counter() - began
        log = path.with_name(path.name + "-wal").stat().st_size
        pages = int(connection.execute("PRAGMA page_count").fetchone()[0])
    for each in folder.glob("locality.db*"):
        each.unlink()
    count = len(ids) - fill
    return {"inserts_per_s": count / seconds, "pages_written": (log - _LOG_HEAD) / (PAGE_BYTES + _FRAME_HEAD) / count,
            "bytes_per_row": pages * PAGE_BYTES / len(ids)}


def _insert(connection: sqlite3.Connection, rows: Sequence[tuple[object, bytes]]) -> None:
    for at in range(0, len(rows), BATCH):
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO t VALUES (?, ?)", rows[at:at + BATCH])
        connection.execute("COMMIT")
