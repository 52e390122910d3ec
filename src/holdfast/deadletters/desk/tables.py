# SPDX-License-Identifier: Apache-2.0
"""What the desk keeps, in SQLite beside one instance or in PostgreSQL for several.

``desk_case``: one row a letter, with its state. ``desk_step``: the handling log. ``desk_body``: bodies by their
SHA-256: originals, and what people made of them. ``desk_comment``: of people. ``desk_fingerprint``: since when an error
is known. ``desk_mark``: small facts by name (how far the clean-up is, which rules are in force).

They are the desk's own and lie in its own database, or in yours under the prefix ``holdfast_``.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa

from ..._sql.tables import Name

#: Bytes of the names that are looked up by.
ID_BYTES: Final = 64
NAME_BYTES: Final = 255

#: In a condition these stand as they are, not as parameters: only so does a planner see that a partial index will do.
ZERO: Final[sa.ColumnElement[Any]] = sa.literal_column("0")
NOBODY: Final[sa.ColumnElement[Any]] = sa.literal_column("''")

metadata = sa.MetaData()


def of_some(condition: str) -> dict[str, Any]:
    """An index of these rows alone, where the dialect has such; elsewhere of all."""
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}


case = sa.Table(
    "holdfast_desk_case", metadata,
    sa.Column("letter_id", Name(ID_BYTES), primary_key=True),
    sa.Column("stream", Name(NAME_BYTES), nullable=False),
    sa.Column("logical", Name(NAME_BYTES), nullable=False),
    sa.Column("grp", Name(NAME_BYTES), nullable=False),
    sa.Column("entry_id", Name(ID_BYTES), nullable=False),
    sa.Column("reason", Name(ID_BYTES), nullable=False),
    sa.Column("stage", Name(ID_BYTES), nullable=False),
    sa.Column("error_type", sa.Text, nullable=False),
    sa.Column("error", sa.Text, nullable=False),
    sa.Column("fingerprint", Name(NAME_BYTES), nullable=False),
    sa.Column("attempts", sa.BigInteger, nullable=False),
    sa.Column("source_stream", Name(NAME_BYTES), nullable=False),
    sa.Column("source_id", Name(ID_BYTES), nullable=False),
    sa.Column("message_id", Name(NAME_BYTES), nullable=False),
    sa.Column("key", Name(NAME_BYTES), nullable=False),
    sa.Column("dead_ms", sa.BigInteger, nullable=False),
    sa.Column("failed_at", Name(ID_BYTES), nullable=False),
    sa.Column("applied", Name(ID_BYTES), nullable=False),
    sa.Column("replays", sa.BigInteger, nullable=False),
    sa.Column("parent", Name(ID_BYTES), nullable=False),
    sa.Column("trace_id", Name(ID_BYTES), nullable=False),
    sa.Column("producer", Name(NAME_BYTES), nullable=False),
    sa.Column("handler", Name(NAME_BYTES), nullable=False),
    sa.Column("state", Name(ID_BYTES), nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("category", Name(ID_BYTES), nullable=False),
    sa.Column("severity", Name(ID_BYTES), nullable=False),
    sa.Column("rule", Name(NAME_BYTES), nullable=False),
    sa.Column("action", Name(ID_BYTES), nullable=False),
    sa.Column("tries", sa.BigInteger, nullable=False),
    sa.Column("due_ms", sa.BigInteger, nullable=False),
    sa.Column("deed", Name(ID_BYTES), nullable=False),
    sa.Column("holder", Name(NAME_BYTES), nullable=False),
    sa.Column("holder_until_ms", sa.BigInteger, nullable=False),
    sa.Column("assignee", Name(NAME_BYTES), nullable=False),
    sa.Column("edited", Name(ID_BYTES), nullable=False),
    sa.Column("fresh", sa.Boolean, nullable=False),
    sa.Column("changed_ms", sa.BigInteger, nullable=False),
    # What is due, and whose holder is late: small, since most cases are neither.
    sa.Index("ix_holdfast_desk_due", "due_ms", "letter_id", "state", **of_some("due_ms > 0")),
    sa.Index("ix_holdfast_desk_holder", "holder_until_ms", **of_some("holder_until_ms > 0")),
    # What died of the same, and the letters by time: each holds all that a screen filters by, so that its rows alone
    # are read. None begins with the state: there are few, and a planner without statistics takes them for many.
    sa.Index("ix_holdfast_desk_kind", "fingerprint", "reason", "dead_ms", "state", "category", "severity", "logical",
             "grp", "fresh"),
    sa.Index("ix_holdfast_desk_time", "dead_ms", "letter_id", "state", "category", "severity", "logical", "grp",
             "fingerprint", "assignee"),
    # How things stand, and what has been over for long.
    sa.Index("ix_holdfast_desk_changed", "changed_ms", "state", "logical", "grp"),
    # What a message went through; what a replay died as; whose body is needed still.
    sa.Index("ix_holdfast_desk_message", "message_id"),
    sa.Index("ix_holdfast_desk_key", "key"),
    sa.Index("ix_holdfast_desk_parent", "parent", **of_some("parent <> ''")),
    sa.Index("ix_holdfast_desk_edited", "edited", **of_some("edited <> ''")),
)

step = sa.Table(
    "holdfast_desk_step", metadata,
    sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("letter_id", Name(ID_BYTES), nullable=False),
    sa.Column("what", Name(ID_BYTES), nullable=False),
    sa.Column("actor", Name(NAME_BYTES), nullable=False),
    sa.Column("by_person", sa.Boolean, nullable=False),
    sa.Column("before", Name(ID_BYTES), nullable=False),
    sa.Column("after", Name(ID_BYTES), nullable=False),
    sa.Column("category", Name(ID_BYTES), nullable=False),
    sa.Column("rule", Name(NAME_BYTES), nullable=False),
    sa.Column("action", Name(ID_BYTES), nullable=False),
    sa.Column("result", Name(ID_BYTES), nullable=False),
    sa.Column("attempts", sa.BigInteger, nullable=False),
    sa.Column("duration_ms", sa.BigInteger, nullable=False),
    sa.Column("trace_id", Name(ID_BYTES), nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("at_ms", sa.BigInteger, nullable=False),
    sa.Index("ix_holdfast_desk_step_letter", "letter_id", "number"),
    sa.Index("ix_holdfast_desk_step_at", "at_ms"),
)

body = sa.Table(
    "holdfast_desk_body", metadata,
    sa.Column("sha256", Name(ID_BYTES), primary_key=True),
    sa.Column("body", sa.LargeBinary().with_variant(sa.dialects.mysql.LONGBLOB, "mysql", "mariadb"), nullable=False),
    sa.Column("at_ms", sa.BigInteger, nullable=False),
)

comment = sa.Table(
    "holdfast_desk_comment", metadata,
    sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("letter_id", Name(ID_BYTES), nullable=False),
    sa.Column("person", Name(NAME_BYTES), nullable=False),
    sa.Column("words", sa.Text, nullable=False),
    sa.Column("at_ms", sa.BigInteger, nullable=False),
    sa.Index("ix_holdfast_desk_comment_letter", "letter_id", "number"),
)

fingerprint = sa.Table(
    "holdfast_desk_fingerprint", metadata,
    sa.Column("logical", Name(NAME_BYTES), primary_key=True),
    sa.Column("grp", Name(NAME_BYTES), primary_key=True),
    sa.Column("fingerprint", Name(NAME_BYTES), primary_key=True),
    sa.Column("first_ms", sa.BigInteger, nullable=False),
)

mark = sa.Table(
    "holdfast_desk_mark", metadata,
    sa.Column("name", Name(NAME_BYTES), primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)


def row_of(values: dict[str, Any]) -> dict[str, Any]:
    """A record's fields as columns: ``group`` is a word of SQL."""
    row = dict(values)
    if "group" in row:
        row["grp"] = row.pop("group")
    return row
