# SPDX-License-Identifier: Apache-2.0
"""What answers about traces look like: for people, for other programs, for other stores.

::

    record.py       the report as JSON, and as tables
    terminal.py     the report on one screen
    html/           one page that needs no network
    thresholds.py   lines that a report must not cross, for pipelines that build and ship
    hook.py         who is told when it did
    stacks.py       time by call path: folded stacks, flame graphs
    prometheus.py   the report as metrics
    writers/        spans in the formats of the field
    parquet.py      spans as Parquet, by hour and by trace
    clickhouse.py   the same columns in ClickHouse's table of OpenTelemetry

Each opens with what it is. None of them reads a file of spans.
"""

from __future__ import annotations
