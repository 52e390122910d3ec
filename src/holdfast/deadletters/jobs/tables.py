# SPDX-License-Identifier: Apache-2.0
"""What is kept of replay jobs, in the desk's database: the jobs, and a row for each of their letters."""

from __future__ import annotations

import sqlalchemy as sa

from ..._sql.tables import Name
from ..desk.tables import ID_BYTES, NAME_BYTES, metadata, of_some

job = sa.Table(
    "holdfast_desk_job", metadata,
    sa.Column("id", Name(ID_BYTES), primary_key=True),
    sa.Column("logical", Name(NAME_BYTES), nullable=False),
    sa.Column("grp", Name(NAME_BYTES), nullable=False),
    sa.Column("asked", sa.Text, nullable=False),
    sa.Column("plan", sa.Text, nullable=False),
    sa.Column("by", Name(NAME_BYTES), nullable=False),
    sa.Column("approved_by", Name(NAME_BYTES), nullable=False),
    sa.Column("state", Name(ID_BYTES), nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("failed", sa.BigInteger, nullable=False),
    sa.Column("holder", Name(NAME_BYTES), nullable=False),
    sa.Column("holder_until_ms", sa.BigInteger, nullable=False),
    sa.Column("made_ms", sa.BigInteger, nullable=False),
    sa.Column("changed_ms", sa.BigInteger, nullable=False),
    sa.Index("ix_holdfast_desk_job_state", "state", "made_ms"),
)

item = sa.Table(
    "holdfast_desk_job_item", metadata,
    sa.Column("job", Name(ID_BYTES), primary_key=True),
    sa.Column("letter_id", Name(ID_BYTES), primary_key=True),
    sa.Column("number", sa.BigInteger, nullable=False),
    sa.Column("stream", Name(NAME_BYTES), nullable=False),
    sa.Column("entry_id", Name(ID_BYTES), nullable=False),
    sa.Column("key", Name(NAME_BYTES), nullable=False),
    sa.Column("state", Name(ID_BYTES), nullable=False),
    sa.Column("claims", sa.BigInteger, nullable=False),
    sa.Column("to", Name(NAME_BYTES), nullable=False),
    sa.Column("entry", Name(ID_BYTES), nullable=False),
    sa.Column("sent_ms", sa.BigInteger, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    # What goes next, in order; whether one of the same key is still out, or goes first.
    sa.Index("ix_holdfast_desk_job_item_next", "job", "state", "number"),
    sa.Index("ix_holdfast_desk_job_item_key", "job", "stream", "key", "state", "number",
             **of_some("key <> ''")),
)
