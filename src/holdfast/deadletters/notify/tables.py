# SPDX-License-Identifier: Apache-2.0
"""Incidents, and what each route has told of them: two tables of the desk's database.

``desk_incident``: one live one a slot, which is unique until the incident is resolved. ``desk_incident_letter``: which
letters it counts, so that one that is told twice counts once. ``desk_notice``: a row a route and incident.
"""

from __future__ import annotations

import sqlalchemy as sa

from ..._sql.tables import Name
from ..desk import tables

incident = sa.Table(
    "holdfast_desk_incident", tables.metadata,
    sa.Column("id", Name(tables.ID_BYTES), primary_key=True),
    # NULL once it is resolved: any number of those may be.
    sa.Column("slot", Name(tables.ID_BYTES), nullable=True, unique=True),
    sa.Column("about", Name(tables.ID_BYTES), nullable=False),
    sa.Column("category", Name(tables.ID_BYTES), nullable=False),
    sa.Column("logical", Name(tables.NAME_BYTES), nullable=False),
    sa.Column("grp", Name(tables.NAME_BYTES), nullable=False),
    sa.Column("severity", Name(tables.ID_BYTES), nullable=False),
    sa.Column("opened_ms", sa.BigInteger, nullable=False),
    sa.Column("changed_ms", sa.BigInteger, nullable=False),
    sa.Column("state", Name(tables.ID_BYTES), nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("count", sa.BigInteger, nullable=False),
    sa.Column("letter_id", Name(tables.ID_BYTES), nullable=False),
    sa.Column("error_type", sa.Text, nullable=False),
    sa.Column("rule", Name(tables.NAME_BYTES), nullable=False),
    sa.Column("kind", Name(tables.ID_BYTES), nullable=False),
    sa.Column("fresh", sa.Boolean, nullable=False),
    sa.Column("resolved_ms", sa.BigInteger, nullable=False),
    sa.Column("acknowledged_by", Name(tables.NAME_BYTES), nullable=False),
    sa.Index("ix_holdfast_desk_incident_state", "state", "resolved_ms"),
)

letter = sa.Table(
    "holdfast_desk_incident_letter", tables.metadata,
    sa.Column("incident_id", Name(tables.ID_BYTES), primary_key=True),
    sa.Column("letter_id", Name(tables.ID_BYTES), primary_key=True),
)

notice = sa.Table(
    "holdfast_desk_notice", tables.metadata,
    sa.Column("incident_id", Name(tables.ID_BYTES), primary_key=True),
    sa.Column("route", Name(tables.ID_BYTES), primary_key=True),
    sa.Column("told", Name(tables.ID_BYTES), nullable=False),
    sa.Column("told_count", sa.BigInteger, nullable=False),
    sa.Column("told_severity", Name(tables.ID_BYTES), nullable=False),
    sa.Column("told_ms", sa.BigInteger, nullable=False),
    sa.Column("digests", sa.BigInteger, nullable=False),
    sa.Column("via", Name(tables.ID_BYTES), nullable=False),
    sa.Column("position", sa.BigInteger, nullable=False),
    sa.Column("fails", sa.BigInteger, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("not_before_ms", sa.BigInteger, nullable=False),
    sa.Column("sending", Name(tables.ID_BYTES), nullable=False),
    sa.Column("holder", Name(tables.NAME_BYTES), nullable=False),
    sa.Column("holder_until_ms", sa.BigInteger, nullable=False),
    sa.Column("doubts", sa.Text, nullable=False),
    sa.Column("serial", sa.BigInteger, nullable=False),
    sa.Column("done", sa.Boolean, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Index("ix_holdfast_desk_notice_done", "done"),
)
